package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"

	"mcpgateway/internal/mcp"
)

// Of a session's listeners that give way the newest hears the server. Others, and those of other sessions, stay.
func TestNewerListenerEndsTheOlder(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if req.Header.Get(mcp.HeaderSupersede) != "" {
			t.Error("the server was told")
		}
		if req.Method == http.MethodPost {
			w.Header().Set("Mcp-Session-Id", string([]byte{'a' + byte(len(req.Header.Get("Traceparent")))}))
			return
		}
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	session := func(trace string) string {
		resp, _ := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, "Traceparent", trace)
		return resp.Header.Get("Mcp-Session-Id")
	}
	listen := func(session string, header ...string) <-chan string {
		t.Helper()
		resp, err := http.DefaultTransport.RoundTrip(r.request(t, "GET", r.engineer(t), "", append(header, "Mcp-Session-Id", session)...))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("listen: %v, %v", resp, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		in := bufio.NewReader(resp.Body)
		if line, err := in.ReadString('\n'); err != nil || line == "" {
			t.Fatalf("the first word: %q, %v", line, err)
		}
		rest := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(in)
			rest <- string(text)
		}()
		return rest
	}
	one, two := session(""), session("t")
	plain := listen(one)
	older := listen(one, mcp.HeaderSupersede, "1")
	other := listen(two, mcp.HeaderSupersede, "1")
	newer := listen(one, mcp.HeaderSupersede, "1")
	if got := <-older; got != "\n"+mcp.SupersededComment {
		t.Errorf("the older one ended with %q", got)
	}
	for name, rest := range map[string]<-chan string{"one that gives no way": plain, "another session's": other, "the newer": newer} {
		select {
		case got := <-rest:
			t.Errorf("%s ended with %q", name, got)
		default:
		}
	}
}
