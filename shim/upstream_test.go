package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"mcpgateway/shim/call"
	"mcpgateway/shim/forward"
)

// A server behind a Unix socket is ready once the socket accepts, and is asked for http://bridge/ whatever its path is.
func TestUnixUpstream(t *testing.T) {
	dir, err := os.MkdirTemp("", "shim") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "a b%2f?s")
	r := newRigTo(t, forward.Config{Upstream: &url.URL{Scheme: "unix", Path: socket}})
	if err := r.chain.forward.Ready(context.Background()); err == nil {
		t.Error("ready without a server")
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var asked, callers []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		asked = append(asked, req.Method+" "+req.Host+" "+req.RequestURI+" "+string(body))
		callers = append(callers, req.Header.Get(call.HeaderCaller))
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	if err := r.chain.forward.Ready(context.Background()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	for range 2 {
		if resp, body := r.post(t, r.engineer(t), callTool("x"), call.HeaderCaller, "forged"); resp.StatusCode != 200 {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	}
	want := "POST bridge / " + callTool("x")
	if len(asked) != 2 || asked[0] != want || asked[1] != want {
		t.Errorf("the server was asked %q", asked)
	}
	if len(callers[0]) != 32 || callers[0] != callers[1] {
		t.Errorf("the caller is %q", callers)
	}
}
