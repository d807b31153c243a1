package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/egress"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/verdict"
)

const message = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`

// converterTo makes a converter that reaches the URL's address and no other.
func converterTo(t *testing.T, to string, timeout time.Duration) *converter {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConverter(Config{URL: u, Timeout: timeout, Secret: []byte("key"), Logger: slog.New(slog.DiscardHandler),
		Remote: &remote.Remote{ConnectTimeout: 5 * time.Second, Egress: []egress.Rule{{Net: netip.PrefixFrom(at.Addr(), 32), Ports: []uint16{at.Port()}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// said is a verdict in few words.
func said(v verdict.Verdict, err error) string {
	switch {
	case err != nil:
		return "error: " + err.Error()
	case v.Message != nil:
		return "mutated " + string(v.Message)
	case v.Accept:
		return "accept"
	}
	return "reject: " + v.Reason
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       string
	}{
		"204":                    {204, "", "", "accept"},
		"200, words":             {200, "text/plain", "ok", "accept"},
		"200, JSON":              {200, "application/json", `{"status":"ok","message":"thanks"}`, "accept"},
		"200, JSON text":         {200, "application/json", `"no"`, "accept"},
		"201, HTML":              {201, "text/html", "<html>", "accept"},
		"verdict":                {200, "application/json", ` {"accept":true}`, "accept"},
		"verdict, no JSON type":  {200, "text/plain", `{"accept":false,"reason":"no"}`, "reject: no"},
		"refused":                {200, "application/json", `{"accept":false,"reason":"no"}`, "reject: no"},
		"mutated":                {200, "application/json", `{"accept":true,"mutated":true,"message":{"a":1}}`, `mutated {"a":1}`},
		"broken off":             {200, "application/json", `{"accept":false,"reas`, "error: read verdict"},
		"case":                   {200, "application/json", `{"Accept":false}`, "error: read verdict"},
		"twice":                  {200, "application/json", `{"accept":false,"accept":true}`, "error: read verdict"},
		"with a mark":            {200, "application/json", "\xef\xbb\xbf{\"accept\":false}", "error: read verdict"},
		"not UTF-8":              {200, "application/json", "{\"accept\":false,\"x\":\"\xff\"}", "error: read verdict"},
		"too large":              {200, "application/json", `{"a":"` + strings.Repeat("x", 2<<20), "error: the webhook's answer is larger than"},
		"403":                    {403, "text/html", "<html>secret proxy</html>", "reject: the webhook answered 403"},
		"403, words":             {403, "text/plain; charset=utf-8", "not\r\nthis\x1b[1m", "reject: not this [1m"},
		"403, JSON":              {403, "application/json", `{"accept":true,"reason":"no"}`, "reject: no"},
		"400, other JSON":        {400, "application/json", `{"error":"x"}`, "reject: the webhook answered 400"},
		"400, bad JSON":          {400, "application/json", `{"reason":"x"`, "reject: the webhook answered 400"},
		"redirect":               {302, "text/plain", "", "reject: the webhook answered 302"},
		"500":                    {500, "text/plain", "x", "error: the webhook answered 500"},
		"429":                    {429, "text/plain", "x", "error: the webhook answered 429"},
		"408":                    {408, "text/plain", "x", "error: the webhook answered 408"},
		"a reason of any length": {403, "text/plain", strings.Repeat("x", 1<<20), "reject: xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				if r.URL.Path != "/hook" {
					t.Errorf("asked for %s", r.URL)
				}
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", "1000")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer s.Close()
			got := said(converterTo(t, s.URL+"/hook", 10*time.Second).ask(t.Context(), []byte(message)))
			if !strings.HasPrefix(got, c.want) || len(got) > 1100 || tries.Load() != 1 { // Retry-After asks for more time than there is
				t.Errorf("got %.200q after %d tries, want %q", got, tries.Load(), c.want)
			}
		})
	}
}

// A delivery that is tried again keeps its id, and is signed anew.
func TestRetries(t *testing.T) {
	var tries atomic.Int32
	ids := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids[r.Header.Get("Webhook-Id")] = true
		switch tries.Add(1) {
		case 1:
			w.WriteHeader(503)
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case 3:
			panic(http.ErrAbortHandler) // breaks off before an answer
		case 4:
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"accept":`)
			panic(http.ErrAbortHandler) // and in the middle of one
		default:
			_, _ = io.WriteString(w, `{"accept":false,"reason":"at last"}`)
		}
	}))
	defer s.Close()
	if got := said(converterTo(t, s.URL, time.Minute).ask(t.Context(), []byte(message))); got != "reject: at last" || tries.Load() != 5 || len(ids) != 1 {
		t.Errorf("%s after %d tries, ids %v", got, tries.Load(), ids)
	}
}

func TestTimeouts(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1000)); err != nil || w.(http.Flusher) == nil {
					return
				}
			}
		}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(hang)
	for path, want := range map[string]string{"/slow": "error: no answer in time", "/endless": "error: the webhook's answer is larger than"} {
		timeout := 200 * time.Millisecond
		if path == "/endless" {
			timeout = time.Minute
		}
		if got := said(converterTo(t, s.URL+path, timeout).ask(t.Context(), []byte(message))); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if got := said(converterTo(t, "http://"+l.Addr().String(), 200*time.Millisecond).ask(t.Context(), []byte(message))); !strings.Contains(got, "refused") || !strings.Contains(got, "no time is left") {
		t.Errorf("nobody there: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := said(converterTo(t, s.URL, time.Minute).ask(ctx, []byte(message))); !strings.HasPrefix(got, "error") {
		t.Errorf("a caller that left: %s", got)
	}
}

// What egress does not name gets nothing, wherever a name or a redirect leads.
func TestEgress(t *testing.T) {
	var asked atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	c := converterTo(t, inside.URL, 100*time.Millisecond)
	closed := *c.Remote
	closed.Egress = nil
	client, err := closed.Client(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.client.Transport = client
	if got := said(c.ask(t.Context(), []byte(message))); !strings.Contains(got, "loopback address") || asked.Load() != 0 {
		t.Errorf("%s, asked %d times", got, asked.Load())
	}
	outside := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer outside.Close()
	if got := said(converterTo(t, outside.URL, 5*time.Second).ask(t.Context(), []byte(message))); got != "reject: the webhook answered 307" || asked.Load() != 0 {
		t.Errorf("%s, asked %d times", got, asked.Load())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-1": 0, "x": 0, "99999999999": 0,
		"Fri, 27 Nov 2026 02:00:05 GMT": 5 * time.Second, "Fri, 27 Nov 2026 01:00:00 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

// The values are those of the Standard Webhooks specification's own example, and of RFC 4231's second test of HMAC-SHA256.
func TestSign(t *testing.T) {
	s, err := newSigner([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	want := http.Header{"Webhook-Id": {"msg_p5jXN8AQM9LWM0D4loKWxJek"}, "Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}
	old := h["X-Obot-Signature-256"]
	delete(h, "X-Obot-Signature-256")
	if diff := cmp.Diff(want, h); diff != "" || len(old) != 1 {
		t.Errorf("headers (-want +got):\n%s, old %q", diff, old)
	}
	if s, err = newSigner([]byte("Jefe")); err != nil {
		t.Fatal(err)
	}
	s.sign(h, "i", time.Unix(0, 0), []byte("what do ya want for nothing?"))
	if got := h.Get("X-Obot-Signature-256"); got != "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" {
		t.Errorf("the old signature is %s", got)
	}
	bare := http.Header{}
	signer{}.sign(bare, "i", time.Unix(0, 0), nil)
	if len(bare) != 2 {
		t.Errorf("without a secret: %v", bare)
	}
	for _, secret := range []string{"whsec_", "whsec_!", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"} {
		if _, err := newSigner([]byte(secret)); err == nil {
			t.Errorf("%s is taken", secret)
		}
	}
}

// Whatever a 2xx holds: only what no reader takes for a refusal accepts.
func FuzzJudge(f *testing.F) {
	for _, in := range []string{`{"accept":false}`, "{\"accept\":false}\n", `{"accept":true,"mutated":true,"message":{}}`, "ok", "", ` {"Accept":false}`, "\xef\xbb\xbf{\"accept\":false}", `[{"accept":false}]`, "\u00a0{\"accept\":false}"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := judge(body)
		if refuses(body) && err == nil && v.Accept {
			t.Errorf("%q accepts", body)
		}
	})
}

// refuses tells whether encoding/json, which is lenient, reads a refusal, whatever comes after it.
func refuses(body []byte) bool {
	var v struct{ Accept *bool }
	return json.NewDecoder(bytes.NewReader(body)).Decode(&v) == nil && v.Accept != nil && !*v.Accept
}

// A webhook is told the trace that the shim named, and no other.
func TestTraceGoesOn(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	told := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header
		w.WriteHeader(204)
	}))
	defer s.Close()
	c := converterTo(t, s.URL, 10*time.Second)
	for sent, want := range map[string]string{traceparent: traceparent, "00-not-a-trace": "", "": ""} {
		request := sdk.CallToolRequest{Header: http.Header{"Traceparent": {sent}, "Baggage": {"user=alice"}},
			Params: sdk.CallToolParams{RawArguments: verdict.Question([]byte(message))}}
		if _, err := c.call(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if got := <-told; got.Get("Traceparent") != want || got.Get("Baggage") != "" {
			t.Errorf("of %q the webhook was told %v", sent, got)
		}
	}
}
