package main

import (
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"mcpgateway/internal/telemetry"
)

// measures is what is told of calls to whoever operates the gateway. Names are those of the OpenTelemetry semantic
// conventions for HTTP; what a call is about is the shim's to tell.
type measures struct {
	on       bool
	tracer   trace.Tracer
	duration metric.Float64Histogram // http.server.request.duration
	wake     metric.Float64Histogram
}

// wakeBuckets are seconds: most wakes are over in one, and none takes longer than an entry's startup.timeout.
var wakeBuckets = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

func newMeasures(t *telemetry.Telemetry) (*measures, error) {
	m := &measures{on: t.On(), tracer: t.Tracer("gateway")}
	meter := t.Meter("gateway")
	var err error
	m.duration, err = meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a request's arrival to the end of its answer; listeners are left out"))
	if err != nil {
		return nil, err
	}
	m.wake, err = meter.Float64Histogram("mcpgateway.wake.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(wakeBuckets...),
		metric.WithDescription("Time that a request waited for its server to start"))
	return m, err
}

// call measures one call until end is called. A listener lasts for hours and says nothing by that.
func (m *measures) call(c *call) (end func()) {
	if !m.on || c.listener() {
		return func() {}
	}
	ctx, span := m.tracer.Start(telemetry.Arrived(c.r.Context(), c.r.Header), "gateway", trace.WithSpanKind(trace.SpanKindServer))
	c.r = c.r.WithContext(ctx)
	return func() { m.end(c, span) }
}

func (m *measures) end(c *call, span trace.Span) {
	defer span.End()
	attributes := []attribute.KeyValue{attribute.String("http.request.method", known(c.r.Method)),
		attribute.Int("http.response.status_code", c.status)}
	if c.entry != nil { // admitted: no stranger makes names of series
		attributes = append(attributes, attribute.String("http.route", "/mcp-connect/{id}"), attribute.String("mcpgateway.server", c.server))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	m.duration.Record(c.r.Context(), time.Since(c.timing.began).Seconds(), set)
	for _, s := range c.timing.spans[:c.timing.n] {
		if s.name == "wake" && c.entry != nil {
			m.wake.Record(c.r.Context(), s.took.Seconds(), metric.WithAttributes(attribute.String("mcpgateway.server", c.server)))
		}
		if span.IsRecording() {
			attributes = append(attributes, attribute.Float64("mcpgateway."+s.name+".duration", s.took.Seconds()))
		}
	}
	if !span.IsRecording() {
		return
	}
	if span.SetName(c.r.Method); c.entry != nil {
		span.SetName(c.r.Method + " /mcp-connect/{id}")
	}
	span.SetAttributes(append(attributes, attribute.String("mcpgateway.request.id", c.id), attribute.String("mcpgateway.era", c.era.String()))...)
	if c.status >= 500 {
		span.SetStatus(codes.Error, http.StatusText(c.status))
	}
}

// known keeps the methods of strangers out of the series.
func known(method string) string {
	if slices.Contains([]string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodOptions, http.MethodHead}, method) {
		return method
	}
	return "_OTHER" // semantic conventions for HTTP, http.request.method
}
