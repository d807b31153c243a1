package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// Every answer names the shim's server and no other, whatever the server writes: the gateway takes all else for an ingress's.
func TestAnswersAreMarked(t *testing.T) {
	forged := func(kind string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()[mcp.HeaderShim] = []string{"forged"}
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
		}
	}
	for name, server := range map[string]http.HandlerFunc{
		"JSON": forged("application/json", 200), "empty": forged("", 202), "not found": forged("text/plain", 404),
		"stream": forged("text/event-stream", 200), "bad answer": forged("text/plain", 302),
	} {
		r := newRig(t, server)
		r.chain.forward.Silence = 30 * time.Millisecond
		for _, method := range []string{"POST", "GET"} {
			body := callTool("x")
			if method == "GET" {
				body = ""
			}
			resp, _ := r.do(t, r.request(t, method, r.engineer(t), body))
			if got := resp.Header[mcp.HeaderShim]; !slices.Equal(got, []string{"github"}) {
				t.Errorf("%s by %s: %d is marked %q", name, method, resp.StatusCode, got)
			}
		}
	}
	r := newRig(t, answerJSON(`{}`))
	ready := httptest.NewRecorder()
	if r.chain.readyz(ready, httptest.NewRequest("GET", "/readyz", nil)); ready.Header().Get(mcp.HeaderShim) != "github" {
		t.Errorf("that it is ready is %d, marked %q", ready.Code, ready.Header().Get(mcp.HeaderShim))
	}
	r.chain.forward = nil // a bug
	if resp, _ := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 500 || resp.Header.Get(mcp.HeaderShim) != "github" {
		t.Errorf("a panic is %d, marked %q", resp.StatusCode, resp.Header.Get(mcp.HeaderShim))
	}
}
