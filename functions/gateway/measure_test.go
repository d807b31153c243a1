package main

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/telemetry"
	"mcpgateway/internal/telemetry/telemetrytest"
)

// The trace of a call begins at the gateway, whatever its client wanted to have kept, and goes on to the shim.
func TestMeasuresOfCalls(t *testing.T) {
	collector := telemetrytest.New(t)
	measured, err := telemetry.Start(t.Context(), telemetry.Config{Service: "gateway", Collector: collector.URL, Sampled: 1, Edge: true})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		told <- req.Header.Get("Traceparent")
		answerJSON(w, req)
	})
	if r.gateway.measures, err = newMeasures(measured); err != nil {
		t.Fatal(err)
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	call := r.request(t, "POST", "github", echo, "Traceparent", trace)
	r.do(t, call)
	r.do(t, r.request(t, "POST", "github", echo, "Authorization", ""))
	measured.Stop(slog.New(slog.DiscardHandler))
	spans := collector.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans came", len(spans))
	}
	served, refused := spans[0], spans[1]
	if got := <-told; !strings.HasPrefix(got, trace[:36]) || !strings.HasSuffix(got, "-01") {
		t.Errorf("the shim was told %q", got)
	}
	if served.Name != "POST /mcp-connect/{id}" || served.Attribute("mcpgateway.server") != "github" || served.Attribute("mcpgateway.request.id") == "" {
		t.Errorf("served: %q, %v", served.Name, served.Attributes)
	}
	if refused.Name != "POST" || refused.Attribute("mcpgateway.server") != "" {
		t.Errorf("whoever is not admitted made a name: %q, %v", refused.Name, refused.Attributes)
	}
	statuses := map[int64]bool{}
	for _, m := range collector.Metrics() {
		for _, p := range m.GetHistogram().DataPoints {
			for _, a := range p.Attributes {
				if a.Key == "http.response.status_code" {
					statuses[a.Value.GetIntValue()] = true
				}
			}
		}
	}
	if !statuses[200] || !statuses[401] || len(statuses) != 2 {
		t.Errorf("measured answers of status %v", statuses)
	}
	if sent := string(collector.Bytes()); strings.Contains(sent, strings.TrimPrefix(call.Header.Get("Authorization"), "Bearer ")) || strings.Contains(sent, "alice") {
		t.Error("a token or a name went out")
	}
}
