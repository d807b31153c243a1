// Package observe tells whoever operates the shim how exchanges go: a span for each and for what it asks of others, in the
// trace that the gateway began, and how long its operations take. Names are those of the OpenTelemetry semantic conventions for MCP.
//
// It sees what the audit sees and keeps less: no bodies, no arguments, no resource URIs (which may hold passwords), no
// session ids, and nobody's name.
package observe

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/call"
	"mcpgateway/shim/state"
)

// Observer measures the exchanges of one server.
type Observer struct {
	on       bool
	tracer   trace.Tracer
	duration metric.Float64Histogram // mcp.server.operation.duration
	records  metric.Int64Counter     // mcpgateway.session.records
}

// buckets are seconds, as the conventions advise.
var buckets = []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300}

// New makes an Observer.
func New(t *telemetry.Telemetry) (*Observer, error) {
	o := &Observer{on: t.On(), tracer: t.Tracer("shim")}
	var err error
	o.duration, err = t.Meter("shim").Float64Histogram("mcp.server.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("MCP request or notification duration, from its arrival at the shim to the end of the answer"),
		metric.WithExplicitBucketBoundaries(buckets...))
	if err != nil {
		return nil, err
	}
	o.records, err = t.Meter("shim").Int64Counter("mcpgateway.session.records", metric.WithUnit("{request}"),
		metric.WithDescription("Requests to the session store: what was read and written, and what failed"))
	return o, err
}

// SessionRecord counts a request to the session store. An attempt that another writer was before is none that failed.
func (o *Observer) SessionRecord(ctx context.Context, operation string, err error) {
	labels := []attribute.KeyValue{attribute.String("mcpgateway.session.operation", operation)}
	if err != nil && !errors.Is(err, state.ErrConflict) {
		labels = append(labels, attribute.String("error.type", "_OTHER"))
	}
	o.records.Add(ctx, 1, metric.WithAttributes(labels...))
}

// Exchange observes one until end is called, after everything else.
func (o *Observer) Exchange(x *call.Exchange) (end func()) {
	if !o.on {
		return func() {}
	}
	began := time.Now()
	ctx, span := o.tracer.Start(telemetry.Arrived(x.Request.Context(), x.Request.Header), "mcp", trace.WithSpanKind(trace.SpanKindServer))
	x.Request = x.Request.WithContext(ctx)
	return func() { o.end(x, span, time.Since(began)) }
}

func (o *Observer) end(x *call.Exchange, span trace.Span, took time.Duration) {
	defer span.End()
	outcome, status := x.Outcome()
	common := []attribute.KeyValue{
		attribute.String("network.transport", "tcp"), attribute.String("mcpgateway.server", x.Rules.Rules.Server),
		attribute.String("mcpgateway.outcome", string(outcome)), attribute.String("mcpgateway.era", x.Era.String())}
	if outcome != audit.Forwarded || status >= http.StatusBadRequest {
		common = append(common, attribute.String("error.type", strconv.Itoa(status)))
	}
	if !x.Listener() { // it lasts for hours and says nothing by that
		for i := range x.MCP.Messages {
			m := &x.MCP.Messages[i]
			labels := append(common[:len(common):len(common)], attribute.String("mcp.method.name", method(m)))
			if tool := tool(m); tool != "" {
				labels = append(labels, attribute.String("gen_ai.tool.name", tool))
			}
			o.duration.Record(x.Request.Context(), took.Seconds(), metric.WithAttributeSet(attribute.NewSet(labels...)))
		}
	}
	if !span.IsRecording() {
		return
	}
	describe(span, x)
	span.SetAttributes(append(common, attribute.Int("http.response.status_code", status), attribute.String("mcpgateway.request.id", x.RequestID()),
		attribute.String("mcpgateway.policy", x.Policy))...)
	if outcome == audit.Failed {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// describe names a span after the message it is about.
func describe(span trace.Span, x *call.Exchange) {
	span.SetAttributes(attribute.String("mcp.protocol.version", call.Clip(x.Request.Header.Get(mcp.HeaderVersion))))
	if len(x.MCP.Messages) != 1 {
		span.SetName(x.Request.Method) // a batch, a listener or the end of a session
		span.SetAttributes(attribute.Int("mcpgateway.messages", len(x.MCP.Messages)))
		return
	}
	m := &x.MCP.Messages[0]
	name := method(m)
	span.SetAttributes(attribute.String("mcp.method.name", name))
	if len(m.ID) > 0 {
		span.SetAttributes(attribute.String("jsonrpc.request.id", call.Clip(string(m.ID))))
	}
	if tool := tool(m); tool != "" {
		name += " " + tool
		span.SetAttributes(attribute.String("gen_ai.tool.name", tool), attribute.String("gen_ai.operation.name", "execute_tool"))
	}
	span.SetName(name)
}

// method is a message's, or one word for all that strangers invent.
func method(m *mcp.Message) string {
	switch {
	case m.Kind == mcp.Response:
		return "response"
	case policy.InTable(m.Method):
		return m.Method
	}
	return "_OTHER"
}

// tool is the name of the tool that a message calls.
func tool(m *mcp.Message) string {
	if m.Method != "tools/call" {
		return ""
	}
	name, _ := m.Target().Name.Text()
	return call.Clip(name)
}

// Filter observes how a filter is asked, until end is called with what came of it. To the filter's server the shim is an MCP
// client, so the span is named as the conventions for MCP name a client's.
func (o *Observer) Filter(ctx context.Context, asked audit.Verdict) (_ context.Context, end func(audit.Verdict)) {
	ctx, span := o.tracer.Start(ctx, "tools/call "+asked.Tool, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(v audit.Verdict) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		// What the filter said may repeat the message, and is not told.
		span.SetAttributes(attribute.String("mcp.method.name", "tools/call"), attribute.String("gen_ai.tool.name", v.Tool),
			attribute.String("gen_ai.operation.name", "execute_tool"), attribute.String("mcpgateway.filter.name", v.Name),
			attribute.String("mcpgateway.filter.direction", v.Type), attribute.String("mcpgateway.filter.status", v.Status))
		if v.Status == audit.VerdictError {
			span.SetAttributes(attribute.String("error.type", "_OTHER"))
			span.SetStatus(codes.Error, "")
		}
	}
}

// TokenExchange observes a request to a token endpoint, until end is called with the answer's status, 0 where there was none,
// and what kind of failure it is, if it is one. Attributes are those of the conventions for HTTP clients, without the URL, whose
// path may hold what is nobody's business.
func (o *Observer) TokenExchange(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string)) {
	ctx, span := o.tracer.Start(ctx, "token exchange", trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(status int, failure string) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		span.SetAttributes(attribute.String("http.request.method", http.MethodPost), attribute.String("server.address", endpoint.Hostname()))
		if status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", status))
		}
		if failure != "" {
			span.SetAttributes(attribute.String("error.type", failure))
			span.SetStatus(codes.Error, "")
		}
	}
}

// Outgoing observes what an exchange asks of others, until end is called.
func (o *Observer) Outgoing(ctx context.Context, name string) (_ context.Context, end func(error)) {
	ctx, span := o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "") // what it was is in the log: an error's text may hold an address
		}
		span.End()
	}
}
