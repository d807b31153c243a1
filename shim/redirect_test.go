package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

func TestRedirects(t *testing.T) {
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger was asked") }))
	defer stranger.Close()
	_, elsewhere, _ := net.SplitHostPort(stranger.Listener.Addr().String())
	const self = "https://SELF" // stands for the server's own origin
	for _, c := range []struct {
		name     string
		code     int
		location []string
		status   int
		asked    int
	}{
		{"a path", 307, []string{"/end"}, 200, 2},
		{"for ever", 308, []string{"/end"}, 200, 2},
		{"relative", 307, []string{"end"}, 200, 2},
		{"whole", 307, []string{self + "/end"}, 200, 2},
		{"without scheme", 307, []string{"//SELF/end"}, 200, 2},
		{"query and fragment", 307, []string{"/end?a=b#c"}, 200, 2},
		{"other case", 307, []string{"HTTPS://Example.COM:PORT/end"}, 200, 2},
		{"three times", 307, []string{"/hop3"}, 502, 4},
		{"two times", 307, []string{"/hop2"}, 200, 4},
		{"a loop", 307, []string{"/mcp"}, 502, 4},
		{"metadata", 307, []string{"http://169.254.169.254/latest/meta-data/"}, 502, 1},
		{"loopback", 307, []string{"https://127.0.0.1:PORT/end"}, 502, 1},
		{"another port", 307, []string{"https://example.com:" + elsewhere + "/end"}, 502, 1},
		{"no port", 308, []string{"https://example.com/end"}, 502, 1},
		{"another name of it", 307, []string{"https://other.test:PORT/end"}, 502, 1},
		{"with a final dot", 307, []string{"https://example.com.:PORT/end"}, 502, 1},
		{"downgrade", 307, []string{"http://SELF/end"}, 502, 1},
		{"user in front", 307, []string{"https://example.com@other.test:PORT/end"}, 502, 1},
		{"user", 307, []string{"https://a:b@SELF/end"}, 502, 1},
		{"script", 307, []string{"javascript:alert(1)"}, 502, 1},
		{"file", 307, []string{"file:///etc/passwd"}, 502, 1},
		{"backslashes", 307, []string{`\\other.test\end`}, 502, 2}, // a path of the server, which does not know it
		{"no place", 307, nil, 502, 1},
		{"two places", 307, []string{"/end", "/other"}, 502, 1},
		{"no URL", 307, []string{"https://[::1/"}, 502, 1},
		{"moved", 301, []string{"/end"}, 502, 1},
		{"found", 302, []string{"/end"}, 502, 1},
		{"see other", 303, []string{"/end"}, 502, 1},
		{"not modified", 304, nil, 502, 1},
		{"choices", 300, []string{"/end"}, 502, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			r := newRemote(t, func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				asked = append(asked, req.Method+string(body))
				switch hops, isHop := strings.CutPrefix(req.URL.Path, "/hop"); {
				case req.URL.Path == "/end":
					answerJSON(`{}`)(w, req)
				case isHop && hops == "1":
					http.Redirect(w, req, "/end", http.StatusTemporaryRedirect)
				case isHop:
					n, _ := strconv.Atoi(hops)
					http.Redirect(w, req, "/hop"+strconv.Itoa(n-1), http.StatusTemporaryRedirect)
				case req.URL.Path == "/mcp":
					for _, l := range c.location {
						l = strings.NewReplacer("SELF", req.Host, "PORT", req.Host[strings.LastIndexByte(req.Host, ':')+1:]).Replace(l)
						w.Header()["Location"] = append(w.Header()["Location"], l)
					}
					w.WriteHeader(c.code)
					_, _ = io.WriteString(w, strings.Repeat("x", 1000))
				default:
					http.Redirect(w, req, "/nowhere", http.StatusFound)
				}
			}, nil)
			r.rename("other.test", "127.0.0.1")
			resp, body := r.post(t, r.engineer(t), callTool("x"))
			if resp.StatusCode != c.status || resp.Header.Get("Location") != "" || strings.Contains(body, "169.254") {
				t.Errorf("got %d %s, %v", resp.StatusCode, body, resp.Header)
			}
			if len(asked) != c.asked {
				t.Errorf("asked %d times, want %d", len(asked), c.asked)
			}
			for _, a := range asked {
				if a != "POST"+callTool("x") {
					t.Errorf("asked %s", a)
				}
			}
		})
	}
}
