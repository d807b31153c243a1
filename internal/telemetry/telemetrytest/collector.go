// Package telemetrytest is a fake OTLP collector for tests: it takes traces and metrics over HTTP as protobuf, refuses what
// no collector would take, and keeps everything, also as the bytes that came.
package telemetrytest

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is a fake collector.
type Collector struct {
	URL string
	t   testing.TB

	mu     sync.Mutex
	spans  []Span
	points []*metrics.Metric
	bytes  []byte
}

// Span is a span, and whose it is.
type Span struct {
	*traces.Span
	Service string
}

// New starts a fake collector that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		var in collecttraces.ExportTraceServiceRequest
		if c.read(w, r, &in) {
			c.addSpans(&in)
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, r *http.Request) {
		var in collectmetrics.ExportMetricsServiceRequest
		if c.read(w, r, &in) {
			c.addPoints(&in)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// read takes one export, and keeps its bytes.
func (c *Collector) read(w http.ResponseWriter, r *http.Request, into proto.Message) bool {
	if r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Content-Encoding") != "gzip" {
		c.t.Errorf("an export came as %q, %q", r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"))
		http.Error(w, "not an export", http.StatusUnsupportedMediaType)
		return false
	}
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		c.t.Errorf("an export: %v", err)
		return false
	}
	data, err := io.ReadAll(plain)
	if err == nil {
		err = proto.Unmarshal(data, into)
	}
	if err != nil {
		c.t.Errorf("an export: %v", err)
		http.Error(w, "not an export", http.StatusBadRequest)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = append(c.bytes, data...)
	w.Header().Set("Content-Type", "application/x-protobuf")
	return true
}

func (c *Collector) addSpans(in *collecttraces.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.ResourceSpans {
		service := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, Span{span, service})
			}
		}
	}
}

func (c *Collector) addPoints(in *collectmetrics.ExportMetricsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			c.points = append(c.points, scope.Metrics...)
		}
	}
}

// Spans are those that came.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Metrics are those that came.
func (c *Collector) Metrics() []*metrics.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*metrics.Metric(nil), c.points...)
}

// Bytes is everything that came, for a test to look for what must not be in it.
func (c *Collector) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.bytes...)
}

// Attribute is the text of a span's attribute; empty where it has none.
func (s Span) Attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}
