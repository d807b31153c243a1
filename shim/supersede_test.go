package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

// Of a session's listeners the newest hears the server, whether it says that it takes another's place or not: no message goes
// out on two. Those of other sessions stay.
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
		resp, err := http.DefaultTransport.RoundTrip(r.request(t, "GET", r.engineer(t), "", append(header, "Mcp-Session-Id", session, mcp.HeaderVersion, "2025-11-25")...))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("listen: %v, %v", resp, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		in := bufio.NewReader(resp.Body)
		if name, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(name, "id: l1.") && !strings.HasPrefix(name, "data: ") {
			t.Fatalf("the first word: %q, %v", name, err)
		}
		rest := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(in)
			rest <- string(text)
		}()
		return rest
	}
	one, two, three := session(""), session("t"), session("tt")
	older, plain, other := listen(one), listen(two), listen(three, mcp.HeaderSupersede, "1")
	newer := []<-chan string{listen(one, mcp.HeaderSupersede, "1"), listen(two)}
	for name, rest := range map[string]<-chan string{"of one that says so": older, "of one that does not": plain} {
		if got := <-rest; !strings.HasSuffix(got, "\n\n"+mcp.SupersededComment) {
			t.Errorf("the older one %s ended with %q", name, got)
		}
	}
	for name, rest := range map[string]<-chan string{"another session's": other, "the newer": newer[0], "the newer that does not say so": newer[1]} {
		select {
		case got := <-rest:
			t.Errorf("%s ended with %q", name, got)
		default:
		}
	}
}
