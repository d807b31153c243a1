package telemetry

import (
	"math/rand/v2"

	traces "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// sampler decides which traces are kept. Behind the edge, what the edge decided; at the edge by chance alone: a flag or a
// trace id that a stranger sends would let them fill the collector.
func (c Config) sampler() traces.Sampler {
	if c.Edge {
		return chance(c.Sampled)
	}
	return traces.ParentBased(chance(c.Sampled))
}

// chance keeps a part of the traces, 0 to 1.
type chance float64

// ShouldSample implements the SDK's Sampler.
func (c chance) ShouldSample(p traces.SamplingParameters) traces.SamplingResult {
	r := traces.SamplingResult{Decision: traces.Drop, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	if rand.Float64() < float64(c) {
		r.Decision = traces.RecordAndSample
	}
	return r
}

// Description implements the SDK's Sampler.
func (c chance) Description() string { return "chance" }
