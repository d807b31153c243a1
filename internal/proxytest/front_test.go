package proxytest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFrontAddsOnlyTheToken(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, v := range []string{r.Host, r.Header.Get("Origin"), r.Header.Get("Authorization"), r.Header.Get("X-Forwarded-For"), r.URL.Path, string(body)} {
			io.WriteString(w, v+"|")
		}
	}))
	defer gateway.Close()
	for host, wantHost := range map[string]string{"": "evil.example.com", "mcp.example.com": "mcp.example.com"} {
		f, err := ListenFront()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Serve(Lending{Gateway: gateway.URL, Token: "secret", Host: host}); err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(http.MethodPost, f.URL+"/mcp-connect/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "evil.example.com"
		request.Header.Set("Origin", "http://evil.example.com")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if want := wantHost + "|http://evil.example.com|Bearer secret||/mcp-connect/x|body|"; err != nil || string(got) != want {
			t.Errorf("gateway received %q, %v; want %q", got, err, want)
		}
	}
}
