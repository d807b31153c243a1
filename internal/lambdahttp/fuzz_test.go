package lambdahttp

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// Whatever an event holds: it is refused, or becomes a request that net/http could have made, or the caller is told why not
// in JSON. Nothing panics, and no header holds the end of one.
func FuzzEvent(f *testing.F) {
	f.Add(`{"version":"2.0","rawPath":"/mcp-connect/a%2Fb","rawQueryString":"a=b","cookies":["c=d"],"headers":{"host":"h.test","x":"y"},"requestContext":{"http":{"method":"POST","sourceIp":"::1"}},"body":"e30=","isBase64Encoded":true}`)
	f.Add(`{"path":"/a","httpMethod":"GET","multiValueHeaders":{"a":["b","c"]},"multiValueQueryStringParameters":{"a":["b"]},"requestContext":{"identity":{"sourceIp":"1.2.3.4"}}}`)
	f.Add(`{"version":"2.0","rawPath":"//h/p","headers":{"x":"b\r\nc: d"},"requestContext":{"http":{"method":"HEAD"}}}`)
	f.Add(`{"version":"9"}`)
	f.Fuzz(func(t *testing.T, payload string) {
		called := false
		a := adapter(t, func(w http.ResponseWriter, r *http.Request) {
			called = true
			body, err := io.ReadAll(r.Body)
			if err != nil || int64(len(body)) != r.ContentLength {
				t.Errorf("%d bytes of %d, %v", len(body), r.ContentLength, err)
			}
			if !strings.HasPrefix(r.URL.Path, "/") || !httpguts.ValidHeaderFieldName(r.Method) || !httpguts.ValidHostHeader(r.Host) {
				t.Errorf("%s %q at %q", r.Method, r.URL, r.Host)
			}
			for name, values := range r.Header {
				for _, v := range values {
					if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
						t.Errorf("header %q: %q", name, v)
					}
				}
			}
			w.Header().Set("X-Echo", r.Header.Get("X")+"\r\n")
			_, _ = w.Write(body)
		})
		out, err := a.Invoke(t.Context(), json.RawMessage(payload))
		if err != nil {
			return
		}
		got := read(t, out)
		if got.err != nil || !called && (got.StatusCode != 400 || !json.Valid([]byte(got.body))) {
			t.Errorf("answer %+v", got)
		}
		if strings.ContainsAny(got.Headers["X-Echo"], "\r\n") {
			t.Error("a header holds the end of one")
		}
	})
}
