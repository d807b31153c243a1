// Package telemetry sends traces and metrics of our programs to whoever operates them: by OTLP over HTTP to a collector,
// which suits programs that sleep, and as a page for Prometheus. Nothing that a caller could not be told goes in: no
// bodies, no tokens, no session ids.
//
// It decides nothing about requests. What is measured is the business of the programs; the names follow the OpenTelemetry
// semantic conventions for MCP and HTTP.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	metrics "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	traces "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	untraced "go.opentelemetry.io/otel/trace/noop"
)

// Config says who tells what to whom.
type Config struct {
	Service  string // service.name: gateway or shim
	Instance string // service.instance.id; empty where there is one of it
	// Collector is the base URL of an OTLP receiver over HTTP, as OTEL_EXPORTER_OTLP_ENDPOINT; empty: nothing is sent.
	Collector string
	// Sampled is which part of the traces that begin here is kept, 0 to 1. See Edge for those that callers began.
	Sampled float64
	// Edge marks the program that faces strangers: whether a trace is kept is not for them to say.
	Edge bool
	// Scraped makes Page hold the metrics.
	Scraped bool
}

// Telemetry is what a program measures with. The zero Telemetry measures nothing.
type Telemetry struct {
	traces  *traces.TracerProvider
	metrics *metrics.MeterProvider
	page    http.Handler
}

// How long telemetry waits before it is sent, and the most that a stop waits for the rest.
const (
	every   = 15 * time.Second
	goodbye = 3 * time.Second
)

// maxSeries bounds the combinations of labels of one metric: what comes on top is counted together, as overflow.
const maxSeries = 1000

// Start begins to measure. Nothing is connected to yet: a collector that cannot be reached costs spans, never requests.
func Start(ctx context.Context, c Config) (*Telemetry, error) {
	if c.Service == "" {
		return nil, errors.New("telemetry: Service is required")
	}
	t := &Telemetry{}
	who := resource.NewSchemaless(attribute.String("service.name", c.Service))
	if c.Instance != "" {
		who = resource.NewSchemaless(attribute.String("service.name", c.Service), attribute.String("service.instance.id", c.Instance))
	}
	options := []metrics.Option{metrics.WithResource(who), metrics.WithCardinalityLimit(maxSeries)}
	if c.Collector != "" {
		spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.Collector+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		t.traces = traces.NewTracerProvider(traces.WithResource(who), traces.WithSampler(c.sampler()), traces.WithBatcher(spans))
		points, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(c.Collector+"/v1/metrics"), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		options = append(options, metrics.WithReader(metrics.NewPeriodicReader(points, metrics.WithInterval(every))))
	}
	if c.Scraped {
		reader, page, err := scraped()
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		t.page, options = page, append(options, metrics.WithReader(reader))
	}
	if c.Collector != "" || c.Scraped {
		t.metrics = metrics.NewMeterProvider(options...)
	}
	return t, nil
}

// scraped makes the page that Prometheus reads, with what Go tells of the process.
func scraped() (metrics.Reader, http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := errors.Join(registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))); err != nil {
		return nil, nil, err
	}
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	return reader, promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}), nil
}

// Tracer makes spans.
func (t *Telemetry) Tracer(name string) trace.Tracer {
	if t.traces == nil {
		return untraced.NewTracerProvider().Tracer(name)
	}
	return t.traces.Tracer(name)
}

// Meter makes metrics.
func (t *Telemetry) Meter(name string) metric.Meter {
	if t.metrics == nil {
		return noop.NewMeterProvider().Meter(name)
	}
	return t.metrics.Meter(name)
}

// On tells whether anything is measured.
func (t *Telemetry) On() bool { return t.traces != nil || t.metrics != nil }

// Serve serves /metrics to Prometheus until ctx ends. Config.Scraped must be set. It has a listener of its own: what it
// tells is not for those who call.
func (t *Telemetry) Serve(ctx context.Context, listener net.Listener, log *slog.Logger) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", t.page)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Warn("metrics are not served any more", "error", err)
	}
}

// Stop sends what is left, for a few seconds at most. What could not be sent is lost, and said.
func (t *Telemetry) Stop(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	var err error
	if t.traces != nil {
		err = t.traces.Shutdown(ctx)
	}
	if t.metrics != nil {
		err = errors.Join(err, t.metrics.Shutdown(ctx))
	}
	if err != nil {
		log.Warn("the last telemetry was not delivered", "error", err)
	}
}
