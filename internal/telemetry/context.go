package telemetry

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
)

// The headers are W3C Trace Context (https://www.w3.org/TR/trace-context/); baggage is not passed on.
var headers propagation.TraceContext

// Arrived is ctx with the trace that a request came with. Headers that are no trace context are as none.
func Arrived(ctx context.Context, h http.Header) context.Context {
	return headers.Extract(ctx, propagation.HeaderCarrier(h))
}

// Leave names the trace in ctx in the headers of a request that goes out, in place of another one. Where nothing is traced
// the headers stay what they are.
func Leave(ctx context.Context, h http.Header) { headers.Inject(ctx, propagation.HeaderCarrier(h)) }
