package mcp

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEraOf(t *testing.T) {
	for version, want := range map[string]Era{
		"": Legacy, "2025-03-26": Legacy, "2025-11-25": Legacy, "2026-07-28": Modern, "2027-01-01": Modern,
		"9999999999": Legacy, "2026-07-28x": Legacy, "zzzz-zz-zz": Legacy, "DRAFT-2026": Legacy,
	} {
		if got := EraOf(http.Header{HeaderVersion: {version}}); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func TestCheckMatch(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`
	for _, c := range []struct {
		name, version, method, mcpName, body string
		code                                 int
	}{
		{"equal", "2026-07-28", "tools/call", "a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`, 0},
		{"base64", "2026-07-28", "tools/call", "=?base64?w6k=?=", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é",` + meta + `}}`, 0},
		{"not encoded", "2026-07-28", "tools/call", "é", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é",` + meta + `}}`, CodeHeaderMismatch},
		{"method not plain", "2026-07-28", "é", "", `{"jsonrpc":"2.0","id":1,"method":"é","params":{` + meta + `}}`, CodeHeaderMismatch},
		{"bad base64", "2026-07-28", "tools/call", "=?base64?!?=", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é",` + meta + `}}`, CodeHeaderMismatch},
		{"other name", "2026-07-28", "tools/call", "b", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`, CodeHeaderMismatch},
		{"case of name", "2026-07-28", "tools/call", "A", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`, CodeHeaderMismatch},
		{"no name", "2026-07-28", "tools/call", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`, CodeHeaderMismatch},
		{"uri", "2026-07-28", "resources/read", "x:y", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y",` + meta + `}}`, 0},
		{"other uri", "2026-07-28", "resources/read", "x:z", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y",` + meta + `}}`, CodeHeaderMismatch},
		{"other method", "2026-07-28", "tools/list", "a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",` + meta + `}}`, CodeHeaderMismatch},
		{"no method", "2026-07-28", "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, CodeHeaderMismatch},
		{"other version", "2026-07-29", "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + meta + `}}`, CodeHeaderMismatch},
		{"version missing from the body", "2026-07-28", "tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 0},
		{"batch", "2026-07-28", "tools/list", "", `[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]`, CodeInvalidRequest},
		{"response", "2026-07-28", "tools/list", "", `{"jsonrpc":"2.0","id":1,"result":{}}`, CodeInvalidRequest},
		{"legacy", "2025-11-25", "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := Parse([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			h.Set(HeaderVersion, c.version)
			h.Set(HeaderMethod, c.method)
			h.Set(HeaderName, c.mcpName)
			got := 0
			if e := CheckMatch(h, body); e != nil {
				got = e.Code
			}
			if got != c.code {
				t.Errorf("got code %d, want %d", got, c.code)
			}
		})
	}
}

func TestCheckHeaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"plain", http.Header{"Content-Type": {"application/json"}}, 0},
		{"charset", http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, 0},
		{"other charset", http.Header{"Content-Type": {"application/json; charset=utf-16"}}, 415},
		{"no type", http.Header{}, 415},
		{"form", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		{"gzip", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415},
		{"two tokens", http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer a", "Bearer b"}}, 400},
		{"two sessions", http.Header{"Content-Type": {"application/json"}, HeaderSession: {"a", "b"}}, 400},
		{"two methods", http.Header{"Content-Type": {"application/json"}, HeaderMethod: {"a", "b"}}, 400},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Header = c.header
		got := 0
		if e := CheckHeaders(r); e != nil {
			got = e.Status
		}
		if got != c.status {
			t.Errorf("%s: got %d, want %d", c.name, got, c.status)
		}
	}
}

func TestForwardRequestHeaders(t *testing.T) {
	from := http.Header{}
	for _, name := range []string{"Content-Type", "Accept", "MCP-Protocol-Version", "Mcp-Session-Id", "Mcp-Param-Region", "Last-Event-ID",
		"traceparent", "tracestate", "Authorization", "Cookie", "Host", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "K-Network-Hash",
		"Knative-Serving-Revision", "Knative-Serving-Namespace", "K-Kubelet-Probe", "User-Agent", "Connection", "Te", "X-Request-Id", "Proxy-Authorization", "Upgrade"} {
		from.Set(name, "x")
	}
	to := http.Header{}
	ForwardRequestHeaders(to, from)
	for _, name := range []string{"Content-Type", "Accept", HeaderVersion, HeaderSession, "Mcp-Param-Region", "Last-Event-Id", "Traceparent", "Tracestate"} {
		if to.Get(name) == "" {
			t.Errorf("%s is gone", name)
		}
		to.Del(name)
	}
	if len(to) > 0 {
		t.Errorf("forwarded too: %v", to)
	}
}

func TestForwardResponseHeaders(t *testing.T) {
	to := http.Header{}
	ForwardResponseHeaders(to, http.Header{"Content-Type": {"application/json"}, "Set-Cookie": {"a=b"}, "Location": {"x"},
		"Access-Control-Allow-Origin": {"*"}, "Www-Authenticate": {"Bearer"}, "Clear-Site-Data": {"*"}, "Retry-After": {"1"}, "Server": {"x"},
		"Content-Security-Policy": {"x"}, "Refresh": {"0;url=x"}, "Link": {"x"}})
	if len(to) != 2 || to.Get("Content-Type") == "" || to.Get("Retry-After") == "" {
		t.Errorf("got %v", to)
	}
}

// What is written as MCP says reads back, and what reads is plain on the wire and has no second meaning.
func FuzzDecodeHeader(f *testing.F) {
	f.Add("=?base64?w6k=?=")
	f.Add("plain")
	f.Add("=?base64??=")
	f.Add("a\tb")
	f.Fuzz(func(t *testing.T, in string) {
		encoded := "=?base64?" + base64.StdEncoding.EncodeToString([]byte(in)) + "?="
		if out, ok := decodeHeader(encoded); !ok || out != in {
			t.Errorf("%q became %q, %v", in, out, ok)
		}
		in = strings.Trim(in, " \t\r\n") // as net/http does
		out, ok := decodeHeader(in)
		if !ok {
			return
		}
		for _, c := range []byte(in) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q was taken", in)
			}
		}
		if wrapped := strings.HasPrefix(in, "=?base64?") && strings.HasSuffix(in, "?=") && len(in) > len("=?base64?="); !wrapped && out != in {
			t.Errorf("%q became %q", in, out)
		} else if wrapped && base64.StdEncoding.EncodeToString([]byte(out)) != in[9:len(in)-2] {
			t.Errorf("%q became %q, which is written in another way", in, out)
		}
	})
}
