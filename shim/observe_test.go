package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/telemetry"
	"mcpgateway/internal/telemetry/telemetrytest"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/observe"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + traceID + "-b7ad6b7169203331-01"
)

// observed has a rig measure, until the returned function is called.
func observed(t *testing.T, r *rig) (collector *telemetrytest.Collector, stop func()) {
	t.Helper()
	collector = telemetrytest.New(t)
	measured, err := telemetry.Start(t.Context(), telemetry.Config{Service: "shim", Instance: "github", Collector: collector.URL})
	if err != nil {
		t.Fatal(err)
	}
	observer, err := observe.New(measured)
	if err != nil {
		t.Fatal(err)
	}
	r.chain.observe, r.chain.forward.Outgoing = observer, observer.Outgoing
	return collector, func() { measured.Stop(slog.New(slog.DiscardHandler)) }
}

// A trace goes through the shim: the gateway's span is the parent of ours, and ours of the server's.
func TestTraceGoesThrough(t *testing.T) {
	told := make(chan string, 1)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		told <- req.Header.Get("Traceparent")
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
	})
	collector, stop := observed(t, r)
	r.post(t, r.engineer(t), callTool("get_x"), "Traceparent", traceparent, "X-Request-Id", "r1")
	stop()
	spans := collector.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans came", len(spans))
	}
	out, in := spans[0], spans[1] // in the order in which they ended
	if in.Name != "tools/call get_x" || out.Name != "server" || in.Service != "shim" {
		t.Errorf("spans %q and %q of %q", in.Name, out.Name, in.Service)
	}
	if hex.EncodeToString(in.TraceId) != traceID || hex.EncodeToString(in.ParentSpanId) != "b7ad6b7169203331" || !bytes.Equal(out.ParentSpanId, in.SpanId) {
		t.Errorf("the spans are not each other's parents: %x, %x, %x", in.TraceId, in.ParentSpanId, out.ParentSpanId)
	}
	if got, want := <-told, "00-"+traceID+"-"+hex.EncodeToString(out.SpanId)+"-01"; got != want {
		t.Errorf("the server was told %q, want %q", got, want)
	}
	for key, want := range map[string]string{"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_x", "mcpgateway.outcome": "forwarded",
		"mcpgateway.policy": "engineers", "mcpgateway.request.id": "r1", "jsonrpc.request.id": "1", "mcpgateway.server": "github"} {
		if got := in.Attribute(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// What is refused is told too, what strangers invent makes no name, and listeners do not count as operations.
func TestWhatIsMeasured(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet || req.Header.Get("Mcp-Method") != "" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ": nothing\n\n")
			return
		}
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
	})
	collector, stop := observed(t, r)
	r.post(t, r.engineer(t), callTool("merge"))
	r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"secret/invented"}`)
	r.post(t, "", callTool("get_x"))
	r.post(t, r.engineer(t), `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/cancelled"}]`)
	r.do(t, r.request(t, "GET", r.engineer(t), ""))
	r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"notifications":{}}}`,
		"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
	stop()
	metrics := collector.Metrics()
	if len(metrics) != 1 || metrics[0].Name != "mcp.server.operation.duration" || metrics[0].Unit != "s" {
		t.Fatalf("metrics %v", metrics)
	}
	var got []string
	for _, p := range metrics[0].GetHistogram().DataPoints {
		label := map[string]string{}
		for _, a := range p.Attributes {
			label[a.Key] = a.Value.GetStringValue()
		}
		got = append(got, label["mcp.method.name"]+" "+label["mcpgateway.outcome"]+" "+label["error.type"])
	}
	for _, want := range []string{"tools/call refused 200", "_OTHER refused 200", "ping forwarded ", "notifications/cancelled forwarded "} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no series %q in %q", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d series: %q", len(got), got)
	}
	if bytes.Contains(collector.Bytes(), []byte("invented")) {
		t.Error("a stranger made a name")
	}
}

// No credential and nobody's name goes to those who operate the shim.
func TestNoSecretsInTelemetry(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Mcp-Session-Id", "the-servers-own-session")
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"content":"an answer"}}`)(w, req)
	})
	collector, stop := observed(t, r)
	token := r.engineer(t)
	resp, _ := r.post(t, token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","arguments":{"password":"hunter2"}}}`,
		"Traceparent", traceparent)
	sealed := resp.Header.Get("Mcp-Session-Id")
	r.post(t, token, `{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"db://user:pass@host"}}`, "Traceparent", traceparent,
		"Mcp-Session-Id", sealed)
	stop()
	sent := collector.Bytes()
	if sealed == "" || !bytes.Contains(sent, []byte("resources/read")) {
		t.Fatal("the calls were not told of")
	}
	for _, secret := range []string{token, token[strings.LastIndex(token, ".")+1:], "hunter2", "user:pass", "the-servers-own-session", sealed, "an answer", "alice"} {
		if bytes.Contains(sent, []byte(secret)) {
			t.Errorf("%q went out", secret)
		}
	}
}

// Whom else the shim asks is in the trace, and is told of it: filters, of requests and of answers, and the token endpoint.
func TestWhoIsAskedIsInTheTrace(t *testing.T) {
	var told sync.Map // traceparent by who was told
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		told.Store("server", req.Header.Get("Traceparent"))
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"content":"no way"}}`)(w, req)
	})
	collector, stop := observed(t, r)
	f := newFilterServer(t, func(w http.ResponseWriter, req *http.Request, id, message string) {
		about, verdict := "tools/call check pii request ok", accepts
		if strings.Contains(message, "no way") {
			about, verdict = "tools/call check pii response rejected", `{"accept":false,"mutated":false,"reason":"because"}`
		}
		told.Store(about, req.Header.Get("Traceparent"))
		result(w, id, `"content":[],"structuredContent":`+verdict)
	})
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		told.Store("token exchange 127.0.0.1", req.Header.Get("Traceparent"))
		_, _ = io.WriteString(w, `{"access_token":"issued","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(issuer.Close)
	credentials, _ := tokenEndpoint(t)
	_, port, _ := net.SplitHostPort(issuer.Listener.Addr().String())
	credentials.Exchange.URL, credentials.Exchange.Egress = issuer.URL+"/tenant", "127.0.0.1/32 "+port
	r.rules.Filters = []rules.Filter{f.rule(t, "pii", "tools/call")}
	r.give(t, credentials, exchange.Secrets{})
	r.post(t, r.engineer(t), callTool("get_x"), "Traceparent", traceparent)
	r.post(t, r.engineer(t), callTool("get_x"), "Traceparent", traceparent) // by the token that is kept
	stop()
	var seen []string
	ids := map[string]string{} // of spans, by what they are about
	for _, s := range collector.Spans() {
		if hex.EncodeToString(s.TraceId) != traceID {
			t.Errorf("%s is in another trace", s.Name)
		}
		about := strings.Join(strings.Fields(s.Name+" "+s.Attribute("mcpgateway.filter.name")+" "+s.Attribute("mcpgateway.filter.direction")+" "+
			s.Attribute("mcpgateway.filter.status")+s.Attribute("server.address")), " ")
		seen, ids[about] = append(seen, about), hex.EncodeToString(s.SpanId)
	}
	slices.Sort(seen)
	want := []string{"server", "server", "token exchange 127.0.0.1", "tools/call check pii request ok", "tools/call check pii request ok",
		"tools/call check pii response rejected", "tools/call check pii response rejected", "tools/call get_x", "tools/call get_x"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("other spans:\n%s", diff)
	}
	for _, who := range []string{"server", "token exchange 127.0.0.1", "tools/call check pii request ok", "tools/call check pii response rejected"} {
		if got, _ := told.Load(who); got != "00-"+traceID+"-"+ids[who]+"-01" {
			t.Errorf("%s was told %q, want the span %q", who, got, ids[who])
		}
	}
	for _, secret := range []string{"issued", "because", "no way", "/tenant"} {
		if bytes.Contains(collector.Bytes(), []byte(secret)) {
			t.Errorf("%q went out", secret)
		}
	}
}

// A listener outlives its request, and is in its trace all the same.
func TestListenerIsInItsTrace(t *testing.T) {
	told := make(chan string, 1)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		told <- req.Header.Get("Traceparent")
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": nothing\n\n")
	})
	collector, stop := observed(t, r)
	r.do(t, r.request(t, "GET", r.engineer(t), "", "Traceparent", traceparent))
	stop()
	if got := <-told; !strings.HasPrefix(got, "00-"+traceID+"-") {
		t.Errorf("the server was told %q", got)
	}
	spans := collector.Spans()
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) != traceID {
			t.Errorf("%s is in another trace", s.Name)
		}
	}
	if len(spans) != 2 {
		t.Errorf("%d spans", len(spans))
	}
}
