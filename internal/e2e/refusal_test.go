package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity/identitytest"
)

// unsigned makes a token whose signature sign makes.
func unsigned(t *testing.T, header, claims map[string]any, sign func(string) []byte) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

func TestRefusals(t *testing.T) {
	s := start(t)
	now := time.Now()
	claims := func(more identitytest.Claims) identitytest.Claims {
		c := identitytest.Claims{"iss": s.main.URL, "sub": "alice", "aud": s.resource("sample"), "groups": []string{engineering}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
		for k, v := range more {
			c[k] = v
		}
		return c
	}
	hmacWith := func(secret []byte) func(string) []byte {
		return func(input string) []byte {
			m := hmac.New(sha256.New, secret)
			m.Write([]byte(input))
			return m.Sum(nil)
		}
	}
	der := s.main.PublicKey(t)
	hs256 := map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": "1"}
	alice := s.token("alice", "sample", engineering)
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		says   string
	}{
		{"no token", s.callRequest("sample", "", "echo", `{}`), 401, "Sign in"},
		{"malformed", s.callRequest("sample", "a.b.c", "echo", `{}`), 401, "refused"},
		{"cut", s.callRequest("sample", alice[:len(alice)-4], "echo", `{}`), 401, "refused"},
		{"expired", s.callRequest("sample", s.main.Sign(t, "at+jwt", claims(identitytest.Claims{"exp": now.Add(-time.Hour).Unix()})), "echo", `{}`), 401, "refused"},
		{"not yet valid", s.callRequest("sample", s.main.Sign(t, "at+jwt", claims(identitytest.Claims{"nbf": now.Add(time.Hour).Unix()})), "echo", `{}`), 401, "refused"},
		{"wrong audience", s.callRequest("sample", s.main.Sign(t, "at+jwt", claims(identitytest.Claims{"aud": "https://else.test"})), "echo", `{}`), 401, "refused"},
		{"a token for another server", s.callRequest("sample", s.token("alice", "other", engineering), "echo", `{}`), 401, "refused"},
		{"ID token", s.callRequest("sample", s.main.Sign(t, "JWT", claims(identitytest.Claims{"nonce": "n"})), "echo", `{}`), 401, "refused"},
		{"logout token", s.callRequest("sample", s.main.Sign(t, "logout+jwt", claims(nil)), "echo", `{}`), 401, "refused"},
		{"alg none", s.callRequest("sample", unsigned(t, map[string]any{"alg": "none", "typ": "at+jwt"}, claims(nil), func(string) []byte { return nil }), "echo", `{}`), 401, "refused"},
		{"symmetric confusion, DER", s.callRequest("sample", unsigned(t, hs256, claims(nil), hmacWith(der)), "echo", `{}`), 401, "refused"},
		{"symmetric confusion, PEM", s.callRequest("sample", unsigned(t, hs256, claims(nil), hmacWith(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), "echo", `{}`), 401, "refused"},
		{"unknown issuer", s.callRequest("sample", identitytest.New(t, "x", "https://stranger.test").Token(t, "alice", s.resource("sample"), []string{engineering}, nil), "echo", `{}`), 401, "refused"},
		{"forged", s.callRequest("sample", identitytest.New(t, "x", s.main.URL).Token(t, "alice", s.resource("sample"), []string{engineering}, nil), "echo", `{}`), 401, "refused"},
		{"signed by the other issuer", s.callRequest("sample", s.partner.Sign(t, "at+jwt", claims(nil)), "echo", `{}`), 401, "refused"},
		{"one sub and group, other issuer", s.callRequest("sample", s.partner.Token(t, "alice", s.resource("sample"), []string{engineering}, nil), "echo", `{}`), 403, "may not use"},
		{"token in the query", query(s.callRequest("sample", "", "echo", `{}`), "access_token="+alice), 401, "Sign in"},
		{"evil Host", s.request("POST", "sample", alice, initialize, "Host", "evil.test"), 403, "Host"},
		{"evil Origin", s.request("POST", "sample", alice, initialize, "Origin", "https://evil.test"), 403, "Origin"},
		{"tool denied to all", s.callRequest("sample", alice, "notify", `{"message":"x"}`), 200, "-32001"},
		{"tool of others", s.callRequest("sample", s.token("bob", "sample", "sales"), "add", `{}`), 200, "-32001"},
		{"unknown method", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"admin/shutdown"}`), 200, "-32001"},
		{"duplicate name", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"notify"}}`), 400, "-32700"},
		{"case twin", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Name":"notify"}}`), 400, "-32600"},
		{"byte order mark", s.request("POST", "sample", alice, "\xef\xbb\xbf"+initialize), 400, "-32700"},
		{"invalid UTF-8", s.request("POST", "sample", alice, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"), 400, "-32700"},
		{"trailing bytes", s.request("POST", "sample", alice, initialize+"{}"), 400, "-32700"},
		{"gzip", s.request("POST", "sample", alice, initialize, "Content-Encoding", "gzip"), 415, "Content-Encoding"},
		{"over the cap", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"`+strings.Repeat("x", 6<<20)+`"}}`), 413, "6 MiB"},
		{"deep nesting", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5001)), 400, "deeper"},
		{"headers unlike the body", s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add",`+modernMeta+`}}`,
			"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "echo"), 400, "-32020"},
		{"a server's page", s.callRequest("hostile", s.token("alice", "hostile", engineering), "page", `{}`), 502, "neither JSON"},
		{"a server's redirect", s.callRequest("hostile", s.token("alice", "hostile", engineering), "redirect", `{}`), 502, "no proper answer"},
		{"a server's sign-in", s.callRequest("hostile", s.token("alice", "hostile", engineering), "signin", `{}`), 502, "no proper answer"},
		{"a server's encoding", s.callRequest("hostile", s.token("alice", "hostile", engineering), "encoded", `{}`), 502, "no proper answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := s.do(c.r)
			if resp.StatusCode != c.status || !strings.Contains(body, c.says) || !json.Valid([]byte(body)) {
				t.Errorf("got %d %.300s, want %d saying %q", resp.StatusCode, body, c.status, c.says)
			}
			h := resp.Header
			if leak := h.Get("Set-Cookie") + h.Get("Location") + h.Get("Clear-Site-Data"); leak != "" || strings.Contains(h.Get("WWW-Authenticate"), "evil") {
				t.Errorf("the server's headers left: %v", h)
			}
		})
	}
}

func query(r *http.Request, q string) *http.Request {
	r.URL.RawQuery = q
	return r
}

func TestUnknownIsNotAdmittedByteForByte(t *testing.T) {
	s := start(t)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		known, knownBody := s.do(s.request(method, "closed", s.token("alice", "closed", engineering), initialize))
		unknown, unknownBody := s.do(s.request(method, "nothing", s.token("alice", "nothing", engineering), initialize))
		for _, h := range []http.Header{known.Header, unknown.Header} {
			for _, name := range []string{"Date", "X-Request-Id", "Server-Timing"} { // differ between any two answers
				h.Del(name)
			}
		}
		if d := cmp.Diff(knownBody, unknownBody) + cmp.Diff(known.Header, unknown.Header); d != "" || known.StatusCode != 403 || unknown.StatusCode != 403 {
			t.Errorf("%s: %d, %d %s", method, known.StatusCode, unknown.StatusCode, d)
		}
	}
}

func TestSessionsAreTheirOwners(t *testing.T) {
	s := start(t)
	alice, bob := s.token("alice", "sample", engineering), s.token("bob", "sample", engineering)
	partner := s.partner.Token(t, "alice", s.resource("sample"), []string{engineering}, nil)
	session := s.session("sample", alice)
	elsewhere := s.session("other", s.token("alice", "other", engineering))
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, c := range []struct{ name, token, session string }{
		{"another user", bob, session},
		{"altered first", alice, "s1" + session[2:]},
		{"altered middle", alice, session[:20] + flip(session[20:21]) + session[21:]},
		{"altered last", alice, session[:len(session)-1] + flip(session[len(session)-1:])},
		{"cut", alice, session[:len(session)-1]},
		{"another server's", alice, elsewhere},
		{"made up", alice, "d9b7a3f2-5f0e-4d0c-8f62-0d2b5a7d7a11"},
	} {
		for _, method := range []string{"POST", "GET", "DELETE"} {
			if resp, body := s.do(s.request(method, "sample", c.token, list, "Mcp-Session-Id", c.session)); resp.StatusCode != 404 {
				t.Errorf("%s, %s: %d %s", c.name, method, resp.StatusCode, body)
			}
		}
	}
	if resp, _ := s.do(s.request("POST", "sample", partner, list, "Mcp-Session-Id", session)); resp.StatusCode != 403 {
		t.Errorf("the same sub of another issuer: %d", resp.StatusCode)
	}
	if resp, body := s.do(s.request("POST", "sample", alice, list, "Mcp-Session-Id", session)); resp.StatusCode != 200 {
		t.Errorf("its owner: %d %s", resp.StatusCode, body)
	}
	if resp, body := s.do(s.request("DELETE", "sample", alice, "", "Mcp-Session-Id", session)); resp.StatusCode >= 300 {
		t.Errorf("its owner's DELETE: %d %s", resp.StatusCode, body)
	}
}

func flip(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}

// What a client must not be able to say does not arrive, and its token ends at the shim.
func TestServerSeesNoCredentialAndNoRouting(t *testing.T) {
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	r := s.callRequest("sample", alice, "headers", `{}`)
	for name, value := range map[string]string{"Knative-Serving-Revision": "evil", "Knative-Serving-Namespace": "evil", "K-Network-Hash": "evil", "X-Forwarded-For": "evil",
		"X-Forwarded-Host": "evil", "X-Forwarded-Proto": "evil", "Forwarded": "for=evil", "User-Agent": "kube-probe/1.30", "K-Kubelet-Probe": "evil", "Cookie": "a=evil",
		"X-Request-Id": "evil", "Proxy-Authorization": "Basic evil", "X-Original-Url": "evil", "Via": "evil", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		r.Header.Set(name, value)
	}
	resp, body := s.do(r)
	if resp.StatusCode != 200 || !strings.Contains(body, "Traceparent") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, secret := range []string{"evil", "kube-probe", "Authorization", alice, alice[len(alice)-20:]} {
		if strings.Contains(body, secret) {
			t.Errorf("the server saw %.40q: %s", secret, body)
		}
	}
}

func TestListsAreTheCallers(t *testing.T) {
	s := start(t)
	list := `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + modernMeta + `}}`
	for group, want := range map[string]string{engineering: "echo add slow headers", "sales": "echo"} {
		_, body := s.do(s.request("POST", "sample", s.token("x", "sample", group), list, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"))
		for _, tool := range []string{"echo", "add", "slow", "headers", "notify"} {
			if got := strings.Contains(body, `"name":"`+tool+`"`); got != strings.Contains(want, tool) {
				t.Errorf("%s sees %s: %v", group, tool, got)
			}
		}
	}
}

func TestEachUserHasAnInstance(t *testing.T) {
	s := start(t)
	for _, user := range []string{"alice", "bob", "alice"} {
		if resp, body := s.call("mine", s.token(user, "mine", engineering), "echo", `{"message":"x"}`); resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", user, resp.StatusCode, body)
		}
	}
	owners := map[string]int{}
	for _, i := range s.status() {
		owners[i.Key.Owner.Subject]++
	}
	if d := cmp.Diff(map[string]int{"alice": 1, "bob": 1}, owners); d != "" {
		t.Error(d)
	}
}
