package client

import (
	"net/url"
	"strings"
	"testing"
)

func TestCheckRedirect(t *testing.T) {
	for _, uri := range []string{
		"https://claude.ai/api/mcp/auth_callback", "https://chatgpt.com/connector/oauth/abc", "https://vscode.dev/redirect",
		"http://localhost/callback", "http://127.0.0.1:1/", "http://127.0.0.1", "http://[::1]:80/cb?x=1", "http://localhost:8787/callback",
		"cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/cb", "https://192.0.2.1/cb", "https://a.example:8443/cb?a=%2Fb",
	} {
		if err := CheckRedirect(uri); err != nil {
			t.Errorf("%q is refused", uri)
		}
	}
	for _, uri := range []string{
		"", "/cb", "//evil.example/cb", "https:evil.example", "https:/evil.example", "https:///evil.example", "http://evil.example/cb",
		"https://user@evil.example/cb", "https://claude.ai@evil.example/", "https://claude.ai:443@evil.example/", "https://claude.ai/cb#f", "https://claude.ai/cb#",
		"https://claude.ai/../evil", "https://claude.ai/a/./b", "https://claude.ai/%2e%2e/evil", "https://claude.ai/a%2f..%2fb", "https://claude.ai/..;/evil",
		"https://claude.ai\\@evil.example/", "https://claude.ai\\.evil.example/", "https://clаude.ai/", "https://claude.ai/\u202e", "https://claude.ai/ x",
		"https://claude.ai\t/", "https://claude.ai/\r\nSet-Cookie:a", "https://CLAUDE.ai/", "HTTPS://claude.ai/", "https://a..b/", "https://.a/", "https://127.1/", "https://0x7f.1/",
		"https://2130706433/", "https://a.0x7f/", "http://localhost.evil.com/", "http://127.0.0.1.evil.com/", "http://127.0.0.2/", "http://[::ffff:127.0.0.1]/",
		"http://localhost:/cb", "http://localhost:1@evil.example/", "http://LOCALHOST/", "http://0.0.0.0/", "http://[::1%25lo]/",
		"javascript:alert(1)", "javascript://x/%0aalert(1)", "data:text/html,x", "file:///x", "vbscript:x", "blob:https://a/b", "about:blank", "ws://127.0.0.1/", "a:/x",
		"https://claude.ai/a\\b", "cursor://u@x/cb", "cursor://u:p@x/cb", "cursor:x", "x y://a", "intent://a#Intent", "https://a.example/" + strings.Repeat("x", MaxRedirect),
	} {
		if CheckRedirect(uri) == nil {
			t.Errorf("%q is taken", uri)
		}
	}
}

func TestRedirects(t *testing.T) {
	c := &Client{RedirectURIs: []string{"http://localhost/callback", "http://127.0.0.1:3000/cb?a=1", "http://[::1]/", "https://a.example/cb", "cursor://x/cb"}}
	for uri, want := range map[string]bool{
		"http://localhost/callback": true, "http://localhost:49152/callback": true, "http://127.0.0.1:5/cb?a=1": true, "http://127.0.0.1/cb?a=1": true,
		"http://[::1]:7/": true, "https://a.example/cb": true, "cursor://x/cb": true,
		"http://localhost:1/callback/": false, "http://localhost:1/": false, "http://127.0.0.1/callback": false, "http://127.0.0.1:5/cb": false,
		"http://127.0.0.1:5/cb?a=1&b": false, "https://a.example:444/cb": false, "https://a.example/cb?": false, "https://a.example/cb/": false, "https://A.example/cb": false,
		"https://localhost/callback": false, "http://localhost.evil.com/callback": false, "http://localhost:80@evil.com/callback": false,
		"http://localhost:1/x/../callback": false, "cursor://x:1/cb": false, "": false, "http://localhost:99999999/callback": false, "http://localhost:1/callback#": false,
	} {
		if c.Redirects(uri) != want {
			t.Errorf("%q: %v", uri, !want)
		}
	}
}

// Whatever passes is read alike by the parser that we go by and by one that only looks for the next slash.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"https://a.example/cb", "http://localhost:1/cb", "https://a@b/", "http://a.example/cb", "cursor://x/cb", "https://a/%2e%2e/", "http://[::1]/", "https://a\\b/"} {
		f.Add(seed)
	}
	registered := &Client{RedirectURIs: []string{"http://localhost/callback", "https://a.example/cb"}}
	f.Fuzz(func(t *testing.T, uri string) {
		ok := CheckRedirect(uri) == nil
		if registered.Redirects(uri) {
			rest, local := strings.CutPrefix(uri, "http://localhost")
			if rest = strings.TrimLeft(strings.TrimPrefix(rest, ":"), "0123456789"); uri != "https://a.example/cb" && (!ok || !local || rest != "/callback") {
				t.Fatalf("%q passes for a registered one", uri)
			}
		}
		if !ok {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.User != nil || u.Fragment != "" || strings.ContainsAny(uri, "\\# \t\r\n") {
			t.Fatalf("%q is taken", uri)
		}
		scheme, rest, _ := strings.Cut(uri, "://")
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		switch {
		case scheme == "https" && (host != u.Host || strings.ToLower(host) != host):
			t.Fatalf("%q has two hosts", uri)
		case u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1":
			t.Fatalf("%q is in the clear", uri)
		}
	})
}
