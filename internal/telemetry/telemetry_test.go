package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"mcpgateway/internal/telemetry"
	"mcpgateway/internal/telemetry/telemetrytest"
)

var quiet = slog.New(slog.DiscardHandler)

func start(t *testing.T, c telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	c.Service = "shim"
	started, err := telemetry.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return started
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

// Behind the edge a trace is kept as the edge decided; at the edge by chance alone.
func TestWhoDecidesWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		name, flags string
		config      telemetry.Config
		kept        int
	}{
		{"kept by the gateway", "01", telemetry.Config{Sampled: 0}, 1},
		{"not kept by the gateway", "00", telemetry.Config{Sampled: 1}, 0},
		{"asked for by a stranger", "01", telemetry.Config{Sampled: 0, Edge: true}, 0},
		{"declined by a stranger", "00", telemetry.Config{Sampled: 1, Edge: true}, 1},
	} {
		collector := telemetrytest.New(t)
		c.config.Collector = collector.URL
		measured := start(t, c.config)
		ctx := telemetry.Arrived(t.Context(), http.Header{"Traceparent": {traceparent + c.flags}})
		ctx, span := measured.Tracer("x").Start(ctx, "one")
		out := http.Header{"Traceparent": {traceparent + c.flags}}
		telemetry.Leave(ctx, out)
		span.End()
		measured.Stop(quiet)
		spans := collector.Spans()
		if len(spans) != c.kept {
			t.Errorf("%s: %d spans came", c.name, len(spans))
		}
		if got := out.Get("Traceparent"); !strings.HasPrefix(got, traceparent[:36]) || strings.HasPrefix(got, traceparent) {
			t.Errorf("%s: the next one is told %q: not the same trace, or not our span", c.name, got)
		}
	}
}

// Without a collector a trace goes through as it came.
func TestTracesPassThroughWhereNothingIsMeasured(t *testing.T) {
	measured := start(t, telemetry.Config{})
	if measured.On() {
		t.Error("something is measured")
	}
	h := http.Header{"Traceparent": {traceparent + "01"}, "Tracestate": {"a=b"}}
	ctx := telemetry.Arrived(t.Context(), h)
	ctx, span := measured.Tracer("x").Start(ctx, "one")
	telemetry.Leave(ctx, h)
	span.End()
	if h.Get("Traceparent") != traceparent+"01" || h.Get("Tracestate") != "a=b" {
		t.Errorf("headers became %v", h)
	}
	measured.Stop(quiet)
}

// Names that strangers make cannot grow without bound.
func TestSeriesAreBounded(t *testing.T) {
	collector := telemetrytest.New(t)
	measured := start(t, telemetry.Config{Collector: collector.URL})
	counter, err := measured.Meter("x").Int64Counter("calls")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		counter.Add(t.Context(), 1, metric.WithAttributes(attribute.Int("tool", i)))
	}
	measured.Stop(quiet)
	metrics := collector.Metrics()
	if len(metrics) != 1 || len(metrics[0].GetSum().DataPoints) != 1000 {
		t.Fatalf("%d metrics, %d series", len(metrics), len(metrics[0].GetSum().DataPoints))
	}
}

func TestPage(t *testing.T) {
	measured := start(t, telemetry.Config{Scraped: true})
	histogram, err := measured.Meter("x").Float64Histogram("mcp.server.operation.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	histogram.Record(t.Context(), .1, metric.WithAttributes(attribute.String("mcp.method.name", "ping")))
	path := filepath.Join(t.TempDir(), "m.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() { measured.Serve(ctx, listener, quiet); close(served) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Get("http://metrics/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.Body.Close() != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`mcp_server_operation_duration_seconds_count{`, `mcp_method_name="ping"`, "go_goroutines", "process_start_time"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
	if resp, err := client.Get("http://metrics/debug"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %v, %v", resp, err)
	}
	stop()
	<-served
}

func TestStartNeedsAName(t *testing.T) {
	if _, err := telemetry.Start(t.Context(), telemetry.Config{}); err == nil {
		t.Error("it started")
	}
}
