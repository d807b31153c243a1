package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// toProvider begins a sign-in and returns where the browser is sent, and the answer's headers.
func (r *rig) toProvider(b *http.Client, q url.Values) (to *url.URL, h http.Header) {
	r.t.Helper()
	resp, err := b.Get(r.url + "/authorize?" + q.Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	to, err = url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		r.t.Fatal(resp.Status, err)
	}
	return to, resp.Header
}

// back signs a user in at the provider and returns the address of the way back.
func (r *rig) back(b *http.Client, q url.Values) string {
	r.t.Helper()
	to, _ := r.toProvider(b, q)
	_, back, _ := r.visit(b, "POST", to.String(), url.Values{"user": {"alice"}})
	return back
}

// What goes to the provider is made anew each time, and the cookie is for our eyes only.
func TestEachSignInIsItsOwn(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	first, h := r.toProvider(b, r.request(staticID, staticRedirect))
	second, _ := r.toProvider(b, r.request(staticID, staticRedirect))
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if a, b := first.Query().Get(name), second.Query().Get(name); a == "" || a == b {
			t.Errorf("%s: %q, %q", name, a, b)
		}
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%v", h)
	}
	cookie := h.Get("Set-Cookie")
	if !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Lax") || !strings.Contains(cookie, "; Path=/;") || strings.Contains(cookie, "Secure") {
		t.Errorf("%s", cookie)
	}
}

// Over TLS no other host, and no page of plain http, can plant a cookie.
func TestCookieOverTLS(t *testing.T) {
	s, w := &server{url: "https://oauth.example"}, httptest.NewRecorder()
	s.setCookie(w, s.cookieName("flow", "s"), "v", time.Minute)
	if got, want := w.Header().Get("Set-Cookie"), "__Host-flow-s=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Neither cookie is of use a second time, and the browser is told so.
func TestCookiesGo(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	id, _ := r.signIn(b, r.request(staticID, staticRedirect), "alice")
	us, _ := url.Parse(r.url)
	if left := b.Jar.Cookies(us); len(left) != 1 || !strings.HasPrefix(left[0].Name, "ask-") {
		t.Errorf("after signing in: %v", left)
	}
	r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id}, "answer": {"allow"}})
	if left := b.Jar.Cookies(us); len(left) > 0 {
		t.Errorf("at the end: %v", left)
	}
}

// The state of one sign-in does not open the cookie of another.
func TestStateNamesItsFlow(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	mine := r.back(b, r.request(staticID, staticRedirect))
	theirs, _ := url.Parse(r.back(r.browser(), r.request(staticID, staticRedirect)))
	us, _ := url.Parse(r.url)
	sealed := b.Jar.Cookies(us)[0].Value
	b.Jar.SetCookies(us, []*http.Cookie{{Name: "flow-" + theirs.Query().Get("state"), Value: sealed, Path: "/"}})
	if status, location, _ := r.visit(b, "GET", theirs.String(), nil); status != 400 || location != "" {
		t.Errorf("another's code in my browser: %d %q", status, location)
	}
	if status, _, _ := r.visit(b, "GET", mine, nil); status != 200 {
		t.Errorf("my own: %d", status)
	}
}

func TestSignInTakesTooLong(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	to, _ := r.toProvider(b, r.request(staticID, staticRedirect))
	r.pass(15*time.Minute + time.Second)
	_, back, _ := r.visit(b, "POST", to.String(), url.Values{"user": {"alice"}})
	if status, location, body := r.visit(b, "GET", back, nil); status != 400 || location != "" || !strings.Contains(body, "start again") {
		t.Errorf("%d %q %s", status, location, body)
	}
}

func TestCallbackRefuses(t *testing.T) {
	r := newRig(t, twoServers)
	for name, change := range map[string]func(string) string{
		"two states":  func(back string) string { return back + "&state=" + r.random() },
		"two codes":   func(back string) string { return back + "&code=x" },
		"short state": func(string) string { return r.url + "/callback?code=x&state=s" },
		"no state":    func(string) string { return r.url + "/callback?code=x" },
		"no query":    func(string) string { return r.url + "/callback?%zz" },
	} {
		b := r.browser()
		if status, location, _ := r.visit(b, "GET", change(r.back(b, r.request(staticID, staticRedirect))), nil); status != 400 || location != "" {
			t.Errorf("%s: %d %q", name, status, location)
		}
	}
	if status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?%zz", nil); status != 400 || location != "" {
		t.Errorf("a broken address: %d %q", status, location)
	}
}

// A person who does not sign in at the provider is back at the client, and the provider is asked nothing.
func TestProviderSaysNo(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	to, _ := r.toProvider(b, r.request(staticID, staticRedirect))
	var asked atomic.Int32
	r.upstream.Store(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	back := r.url + "/callback?error=login_required&code=x&state=" + to.Query().Get("state")
	_, location, _ := r.visit(b, "GET", back, nil)
	u, _ := url.Parse(location)
	if q := u.Query(); q.Get("error") != "access_denied" || q.Get("iss") != r.url || q.Get("state") != "st/ate" || strings.Contains(location, "login_required") || asked.Load() > 0 {
		t.Errorf("%q, asked %d times", location, asked.Load())
	}
}

// A client that was removed while its person signed in gets nothing.
func TestClientGoneMeanwhile(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	b := r.browser()
	back := r.back(b, r.request(m["client_id"].(string), staticRedirect))
	req, _ := http.NewRequest("DELETE", m["registration_client_uri"].(string), nil)
	req.Header.Set("Authorization", "Bearer "+m["registration_access_token"].(string))
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != 204 {
		t.Fatal(resp, err)
	}
	if _, location, body := r.visit(b, "GET", back, nil); !strings.Contains(location, "error=invalid_client") || strings.Contains(body, "question") {
		t.Errorf("%q %s", location, body)
	}
}

// What a client's redirect URI has of its own comes back with the answer.
func TestRedirectKeepsQuery(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb?a=%2Fb&c"],"token_endpoint_auth_method":"none"}`)
	b := r.browser()
	id, _ := r.signIn(b, r.request(m["client_id"].(string), "http://127.0.0.1:7/cb?a=%2Fb&c"), "alice")
	_, location, _ := r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id}, "answer": {"allow"}})
	if !strings.HasPrefix(location, "http://127.0.0.1:7/cb?a=%2Fb&c&code=") {
		t.Errorf("%q", location)
	}
}

// The page says what is known of the client, and no more.
func TestConsentSays(t *testing.T) {
	r := newRig(t, twoServers)
	r.serveDocument(claudeID, claudeDocument)
	_, web := r.register(`{"redirect_uris":["https://web.example/cb"],"token_endpoint_auth_method":"none","client_name":"Claude"}`)
	_, nameless := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	id := func(m map[string]any) string { return m["client_id"].(string) }
	const unchecked, local = "nobody has checked it", "(a program on your own machine)"
	for name, tc := range map[string]struct {
		client, redirect string
		has, lacks       []string
	}{
		"the operator's": {staticID, staticRedirect, []string{"“Known”", local, ">127.0.0.1 "}, []string{unchecked}},
		"documented":     {claudeID, claudeRedirect, []string{"“Claude”", ", of claude.ai", ">claude.ai<"}, []string{unchecked, local}},
		"registered":     {id(web), "https://web.example/cb", []string{"“Claude”", unchecked, ">web.example<"}, []string{local, ", of "}},
		"nameless":       {id(nameless), "http://127.0.0.1:4711/cb", []string{"“" + id(nameless) + "”", unchecked, ">127.0.0.1:4711 "}, nil},
	} {
		b := r.browser()
		_, _, body := r.visit(b, "GET", r.back(b, r.request(tc.client, tc.redirect)), nil)
		for _, want := range append(tc.has, r.resource("notes"), ">alice, signed in at "+strings.TrimPrefix(r.provider.URL, "http://")) {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is missing in %s", name, want, body)
			}
		}
		for _, no := range tc.lacks {
			if strings.Contains(body, no) {
				t.Errorf("%s: %q is in %s", name, no, body)
			}
		}
	}
}

// A yes does not hold the next time where anybody could have come in the client's name.
func TestAskedAgain(t *testing.T) {
	r := newRig(t, twoServers)
	_, web := r.register(`{"redirect_uris":["https://web.example/cb"],"token_endpoint_auth_method":"none"}`)
	for name, q := range map[string]url.Values{
		"a name of one's own": r.request(web["client_id"].(string), "https://web.example/cb"),
		"a port":              r.request(staticID, staticRedirect),
	} {
		r.code(q, "alice")
		if id, location := r.signIn(r.browser(), q, "alice"); id == "" {
			t.Errorf("%s: not asked: %q", name, location)
		}
	}
}

// Only a form of our own page, sent once and whole, is an answer, and only "allow" is a yes.
func TestConsentForm(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	id, _ := r.signIn(b, r.request(staticID, staticRedirect), "alice")
	answer := func(form url.Values, header ...string) (int, string) {
		t.Helper()
		req, _ := http.NewRequest("POST", r.url+"/consent", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for n := 0; n < len(header); n += 2 {
			req.Header.Set(header[n], header[n+1])
		}
		resp, err := b.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	yes := url.Values{"question": {id}, "answer": {"allow"}}
	for name, tc := range map[string]struct {
		form   url.Values
		header []string
	}{
		"cross-site":    {yes, []string{"Sec-Fetch-Site", "cross-site"}},
		"same-site":     {yes, []string{"Sec-Fetch-Site", "same-site"}},
		"no site":       {yes, []string{"Sec-Fetch-Site", "none"}},
		"null origin":   {yes, []string{"Origin", "null"}},
		"two answers":   {url.Values{"question": {id}, "answer": {"allow", "deny"}}, nil},
		"two questions": {url.Values{"question": {id, id}, "answer": {"allow"}}, nil},
		"short":         {url.Values{"question": {id[:9]}, "answer": {"allow"}}, nil},
		"shorter":       {url.Values{"question": {"x"}, "answer": {"allow"}}, nil},
		"none":          {url.Values{"answer": {"allow"}}, nil},
		"longer":        {url.Values{"question": {id + "A"}, "answer": {"allow"}}, nil},
		"another":       {url.Values{"question": {id[:8] + r.random()[8:]}, "answer": {"allow"}}, nil},
		"huge":          {url.Values{"question": {id}, "answer": {"allow"}, "x": {strings.Repeat("x", maxForm)}}, nil},
	} {
		cookies := b.Jar.Cookies(must(url.Parse(r.url)))
		if status, location := answer(tc.form, tc.header...); status != 400 || location != "" {
			t.Errorf("%s: %d %q", name, status, location)
		}
		b.Jar.SetCookies(must(url.Parse(r.url)), cookies) // where it was taken
	}
	if status, _, _ := r.visit(b, "GET", r.url+"/consent?"+yes.Encode(), nil); status != http.StatusMethodNotAllowed {
		t.Errorf("by a link: %d", status)
	}
	if status, location := answer(url.Values{"question": {id}}, "Origin", r.url, "Sec-Fetch-Site", "same-origin"); status != 303 || !strings.Contains(location, "error=access_denied") {
		t.Errorf("no answer: %d %q", status, location)
	}
}

func must(u *url.URL, err error) *url.URL {
	if err != nil {
		panic(err)
	}
	return u
}

// Every answer has the headers that a page needs, whatever it is.
func TestEveryAnswerIsProtected(t *testing.T) {
	r := newRig(t, twoServers)
	for _, path := range []string{"/", "/jwks", "/healthz", "/authorize", "/callback", "/.well-known/oauth-authorization-server", "/register/x"} {
		resp, err := http.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}

// Pages of other origins may ask what depends on no cookie, and nothing else.
func TestOtherOrigins(t *testing.T) {
	r := newRig(t, twoServers)
	for path, open := range map[string]bool{"/token": true, "/register": true, "/revoke": true, "/introspect": true, "/jwks": true,
		"/.well-known/openid-configuration": true, "/authorize": false, "/callback": false, "/consent": false, "/register/x": false} {
		req, _ := http.NewRequest("OPTIONS", r.url+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := resp.Header
		if got := h.Get("Access-Control-Allow-Origin") == "*"; got != open || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", path, h)
		}
		if allowed := h.Get("Access-Control-Allow-Headers"); open && (!strings.Contains(allowed, "Authorization") || !strings.Contains(allowed, "MCP-Protocol-Version")) {
			t.Errorf("%s: %q", path, allowed)
		}
		for _, method := range []string{"GET", "POST"} {
			req, _ := http.NewRequest(method, r.url+path, nil)
			if resp, err = http.DefaultClient.Do(req); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !open && resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %v", method, path, resp.Header)
			}
			if open && resp.StatusCode != http.StatusMethodNotAllowed && !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Retry-After") {
				t.Errorf("%s %s: %v", method, path, resp.Header)
			}
		}
	}
}

// A URL or a form without end is no reason to keep it.
func TestBounds(t *testing.T) {
	r := newRig(t, twoServers)
	if status, _, _ := r.visit(r.browser(), "GET", r.url+"/authorize?x="+strings.Repeat("x", maxURL), nil); status != http.StatusMisdirectedRequest {
		t.Errorf("URL: %d", status)
	}
	if a := r.redeem("x", "more", strings.Repeat("x", maxForm)); a.Status != 400 || a.Error != "invalid_request" {
		t.Errorf("form: %+v", a)
	}
	if got := fmt.Sprint(r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"x":"` + strings.Repeat("x", maxForm) + `"}`)); !strings.Contains(got, "invalid_client_metadata") {
		t.Error(got)
	}
}
