package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/mcp"
)

// Nothing that is refused may start anything or reach a server.
func TestRefusals(t *testing.T) {
	reached := false
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { reached = true; answerJSON(w, req) })
	expired := r.issuer.Token(t, "alice", public+"/mcp-connect/github", []string{"engineering"}, identitytest.Claims{"exp": time.Now().Add(-time.Hour).Unix()})
	partner := r.partner.Token(t, "alice", public+"/mcp-connect/github", []string{"engineering"}, nil)
	stranger := identitytest.New(t, "x", "https://stranger.test").Token(t, "alice", public+"/mcp-connect/github", nil, nil)
	forged := identitytest.New(t, "main", "https://issuer.test").Token(t, "alice", public+"/mcp-connect/github", []string{"engineering"}, nil)
	for _, c := range []struct {
		name, method, server, body string
		header                     []string
		status                     int
		says                       string
	}{
		{"no token", "POST", "github", echo, []string{"Authorization", ""}, 401, "Sign in"},
		{"no token on GET", "GET", "github", "", []string{"Authorization", ""}, 401, "Sign in"},
		{"no token, unknown server", "POST", "nothing", echo, []string{"Authorization", ""}, 401, "Sign in"},
		{"basic", "POST", "github", echo, []string{"Authorization", "Basic eDp5"}, 401, "Sign in"},
		{"malformed", "POST", "github", echo, []string{"Authorization", "Bearer x"}, 401, "refused"},
		{"expired", "POST", "github", echo, []string{"Authorization", "Bearer " + expired}, 401, "refused"},
		{"token for another server", "POST", "github", echo, []string{"Authorization", "Bearer " + r.token(t, "alice", "mine")}, 401, "refused"},
		{"unknown issuer", "POST", "github", echo, []string{"Authorization", "Bearer " + stranger}, 401, "refused"},
		{"forged", "POST", "github", echo, []string{"Authorization", "Bearer " + forged}, 401, "refused"},
		{"same sub and group of another issuer", "POST", "github", echo, []string{"Authorization", "Bearer " + partner}, 403, "may not use"},
		{"not admitted", "POST", "secret", echo, nil, 403, "may not use"},
		{"unknown", "POST", "nothing", echo, nil, 403, "may not use"},
		{"not admitted GET", "GET", "secret", "", nil, 403, "may not use"},
		{"evil Host", "POST", "github", echo, []string{"Host", "evil.test"}, 403, "Host"},
		{"evil Origin", "POST", "github", echo, []string{"Origin", "https://evil.test"}, 403, "Origin"},
		{"null Origin", "POST", "github", echo, []string{"Origin", "null"}, 403, "Origin"},
		{"gzip", "POST", "github", echo, []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"form", "POST", "github", echo, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{"too large", "POST", "github", strings.Repeat("x", mcp.MaxBody+1), nil, 413, "6 MiB"},
		{"PUT", "PUT", "github", "", nil, 405, "POST"},
		{"modern GET", "GET", "github", "", []string{"MCP-Protocol-Version", "2026-07-28"}, 405, "POST"},
		{"broken JSON", "POST", "github", "{", nil, 400, "-32700"},
		{"upper case id", "POST", "GitHub", echo, nil, 404, "Nothing"},
		{"id with dots", "POST", "..%2fgithub", echo, nil, 404, "Nothing"},
		{"no id", "POST", "", echo, nil, 404, "Nothing"},
		{"longer path", "POST", "github/x", echo, nil, 404, "Nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := r.do(t, r.request(t, c.method, c.server, c.body, c.header...))
			if resp.StatusCode != c.status || !strings.Contains(body, c.says) || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s %s, want %d saying %q", resp.StatusCode, resp.Header.Get("Content-Type"), body, c.status, c.says)
			}
			if c.status == 401 && !strings.Contains(resp.Header.Get("WWW-Authenticate"),
				`resource_metadata="https://gateway.test/.well-known/oauth-protected-resource/mcp-connect/`+c.server+`"`) {
				t.Errorf("challenge %q", resp.Header.Get("WWW-Authenticate"))
			}
			if resp.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") ||
				resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("headers %v", resp.Header)
			}
		})
	}
	if n := r.deployer.ensured.Load(); n != 0 || reached {
		t.Errorf("%d wakes, reached %v", n, reached)
	}
	if len(r.audit.records(t)) < 20 {
		t.Errorf("only %d refusals were recorded", len(r.audit.records(t)))
	}
}

func TestUnknownIsNotAdmittedByteForByte(t *testing.T) {
	r := newRig(t, answerJSON)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		one, oneBody := r.do(t, r.request(t, method, "secret", echo))
		two, twoBody := r.do(t, r.request(t, method, "nothing", echo))
		for _, h := range []http.Header{one.Header, two.Header} {
			h.Del("Date")
			h.Del("X-Request-Id")
			h.Del("Server-Timing") // times; its names are the same:
		}
		if d := cmp.Diff(oneBody, twoBody) + cmp.Diff(one.Header, two.Header); d != "" || one.StatusCode != two.StatusCode {
			t.Errorf("%s: %d, %d %s", method, one.StatusCode, two.StatusCode, d)
		}
	}
}

// A server that sleeps is woken by what it must do something for, and by nothing else.
func TestWhatWakes(t *testing.T) {
	r := newRig(t, answerJSON)
	for _, c := range []struct {
		name, method, body string
		header             []string
		status             int
		wakes              bool
	}{
		{"notification", "POST", note, nil, 202, false},
		{"cancel", "POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, nil, 202, false},
		{"modern notification", "POST", note, []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/initialized"}, 202, false},
		{"reply", "POST", `{"jsonrpc":"2.0","id":1,"result":{}}`, nil, 202, false},
		{"ping", "POST", ping, nil, 200, false},
		{"DELETE", "DELETE", "", []string{"Mcp-Session-Id", "x"}, 404, false},
		{"call", "POST", echo, nil, 200, true},
		{"initialize", "POST", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, nil, 200, true},
		{"batch with a call", "POST", "[" + note + "," + echo + "]", nil, 200, true},
		{"batch of notifications", "POST", "[" + note + "," + note + "]", nil, 202, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.deployer.sleep()
			before := r.deployer.ensured.Load()
			resp, body := r.do(t, r.request(t, c.method, "github", c.body, c.header...))
			if resp.StatusCode != c.status {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, c.status)
			}
			if woke := r.deployer.ensured.Load() > before; woke != c.wakes {
				t.Errorf("woken: %v", woke)
			}
			if c.name == "ping" && body != `{"jsonrpc":"2.0","id":"p","result":{}}` {
				t.Errorf("ping answered %s", body)
			}
		})
	}
	for _, path := range []string{"/healthz", "/readyz", "/.well-known/oauth-protected-resource/mcp-connect/github", "/nothing"} {
		before := r.deployer.ensured.Load() + r.deployer.found.Load()
		req := r.request(t, "GET", "github", "")
		req.URL.Path = path
		_, _ = r.do(t, req)
		if r.deployer.ensured.Load()+r.deployer.found.Load() != before {
			t.Errorf("%s asks the deployer", path)
		}
	}
}

func TestOneFlight(t *testing.T) {
	r := newRig(t, answerJSON)
	r.deployer.delay = 100 * time.Millisecond
	r.version.Platform.Limits.WakesPerMinute = 1
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
		})
	}
	all.Wait()
	if n := r.deployer.ensured.Load(); n != 1 {
		t.Errorf("%d starts", n)
	}
	before := r.deployer.found.Load()
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 || r.deployer.found.Load() != before {
		t.Error("a warm call asks the deployer")
	}
	r.deployer.sleep()
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the second wake in a minute: %d %s", resp.StatusCode, body)
	}
}

func TestEachUserHasAnInstance(t *testing.T) {
	r := newRig(t, answerJSON)
	for _, subject := range []string{"alice", "bob", "alice"} {
		if resp, body := r.do(t, r.request(t, "POST", "mine", echo, "Authorization", "Bearer "+r.token(t, subject, "mine"))); resp.StatusCode != 200 {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
	}
	for _, key := range []deploy.KeyID{{Server: "mine", Issuer: "https://issuer.test", Subject: "alice"}, {Server: "mine", Issuer: "https://issuer.test", Subject: "bob"}} {
		if r.deployer.runs[key] == nil {
			t.Errorf("no instance %v", key)
		}
	}
	if n := r.deployer.ensured.Load(); n != 2 {
		t.Errorf("%d starts", n)
	}
}

func TestStartErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{&deploy.StartError{Code: deploy.CodeUnavailable, Message: "It does not start.", RetryAfter: 7 * time.Second}, 503},
		{&deploy.StartError{Code: deploy.CodeTimeout, Message: "Too slow."}, 504},
		{&deploy.StartError{Code: deploy.CodeLimit, Message: "Too many."}, 429},
		{&deploy.StartError{Code: deploy.CodeUnknown, Message: "?"}, 403},
		{errors.New("secret detail"), 503},
	} {
		r := newRig(t, answerJSON)
		r.deployer.fail = c.err
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != c.status || strings.Contains(body, "secret detail") || c.status != 403 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%v: got %d %s, Retry-After %q", c.err, resp.StatusCode, body, resp.Header.Get("Retry-After"))
		}
	}
}

func TestWhatTheShimGets(t *testing.T) {
	var got *http.Request
	var body string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		got, body = req.Clone(context.Background()), string(b)
		answerJSON(w, req)
	})
	req := r.request(t, "POST", "github", echo, "Cookie", "a=b", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "evil", "Forwarded", "for=x",
		"Knative-Serving-Revision", "evil", "K-Kubelet-Probe", "queue", "User-Agent", "kube-probe/1.30", "Gateway-Client-Ip", "1.2.3.4", "X-Request-Id", "mine", "Mcp-Param-Region", "eu",
		"Traceparent", "00-1-2-01", "Proxy-Authorization", "Basic x", "Origin", "http://localhost:6274")
	req.URL.RawQuery = "x=y"
	if resp, b := r.do(t, req); resp.StatusCode != 200 {
		t.Fatalf("got %d %s", resp.StatusCode, b)
	}
	id := got.Header.Get("X-Request-Id")
	if id == "mine" || id == "" {
		t.Errorf("request id %q", id)
	}
	got.Header.Del("X-Request-Id")
	want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": req.Header["Authorization"],
		"Gateway-Client-Ip": {"127.0.0.1"}, "Gateway-User-Agent": {"kube-probe/1.30"}, "Mcp-Param-Region": {"eu"}, "Traceparent": {"00-1-2-01"}, "Content-Length": got.Header["Content-Length"]}
	if d := cmp.Diff(want, got.Header); d != "" || got.URL.RequestURI() != "/mcp-connect/github" || body != echo || got.Host != "shim" {
		t.Errorf("%s %s %s %s", got.Host, got.URL.RequestURI(), body, d)
	}
}

func TestCORS(t *testing.T) {
	r := newRig(t, answerJSON)
	resp, _ := r.do(t, r.request(t, "OPTIONS", "github", "", "Authorization", "", "Origin", "http://localhost:6274",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, mcp-param-region, x-evil"))
	allow := resp.Header.Get("Access-Control-Allow-Headers")
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" ||
		!strings.Contains(allow, "Authorization") || !strings.Contains(allow, "mcp-param-region") || strings.Contains(allow, "x-evil") {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ = r.do(t, r.request(t, "OPTIONS", "github", "", "Authorization", "", "Origin", "https://evil.test")); resp.StatusCode != 403 {
		t.Errorf("evil preflight: %d", resp.StatusCode)
	}
	resp, _ = r.do(t, r.request(t, "POST", "github", echo, "Authorization", "", "Origin", "http://localhost:6274"))
	if resp.StatusCode != 401 || resp.Header.Get("Access-Control-Allow-Origin") == "" || !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Errorf("a page cannot see the challenge: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestMetadata(t *testing.T) {
	r := newRig(t, answerJSON)
	for _, id := range []string{"github", "nothing"} {
		req := r.request(t, "GET", id, "", "Authorization", "")
		req.URL.Path = "/.well-known/oauth-protected-resource/mcp-connect/" + id
		resp, body := r.do(t, req)
		want := `{"resource":"https://gateway.test/mcp-connect/` + id + `","authorization_servers":["https://issuer.test","https://partner.test"],"bearer_methods_supported":["header"]}` + "\n"
		if resp.StatusCode != 200 || body != want || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	}
}

func TestLimits(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { <-hold; answerJSON(w, req) })
	r.version.Platform.Limits.InFlight = 2
	var under sync.WaitGroup
	for range 2 {
		under.Go(func() { _, _ = r.do(t, r.request(t, "POST", "github", echo)) })
	}
	for r.inFlight("alice") < 2 {
		time.Sleep(time.Millisecond)
	}
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("third call: %d %s", resp.StatusCode, body)
	}
	close(hold)
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+r.token(t, "bob", "github"))); resp.StatusCode != 200 {
		t.Errorf("another user: %d", resp.StatusCode)
	}
	under.Wait()
	if n := r.inFlight("alice"); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
	r.gateway.limits.usage = map[who]*usage{}
	r.version.Platform.Limits.CallsPerSecond, r.version.Platform.Limits.Burst = 1, 3
	var refused int
	for range 10 {
		if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode == 429 {
			refused++
		}
	}
	if refused < 5 {
		t.Errorf("%d of 10 calls refused at a burst of 3", refused)
	}
}

func (r *rig) inFlight(subject string) int {
	r.gateway.limits.mu.Lock()
	defer r.gateway.limits.mu.Unlock()
	if u := r.gateway.limits.usage[who{"https://issuer.test", subject}]; u != nil {
		return u.inFlight
	}
	return 0
}

func TestServerTimingOnEveryAnswer(t *testing.T) {
	r := newRig(t, answerJSON)
	cold, _ := r.do(t, r.request(t, "POST", "github", echo))
	warm, _ := r.do(t, r.request(t, "POST", "github", echo))
	refused, _ := r.do(t, r.request(t, "POST", "secret", echo))
	for _, c := range []struct {
		resp *http.Response
		want string
	}{{cold, "auth admit ensure wake"}, {warm, "auth admit ensure"}, {refused, "auth admit"}} {
		var names []string
		for span := range strings.SplitSeq(c.resp.Header.Get("Server-Timing"), ", ") {
			name, _, _ := strings.Cut(span, ";dur=")
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
