package identity

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

var (
	bearer    = regexp.MustCompile(`^(?i:bearer) +(\S(.*\S)?)\s*$`)
	challenge = regexp.MustCompile(`^Bearer resource_metadata="([^"\\]*)", error="invalid_token", error_description="([ -!#-\[\]-~]*)"$`)
)

// A token is what stands behind the scheme; whatever a refusal says, it stays within its quotes.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc", "expired")
	f.Add("bearer  a.b.c ", `", error="x`)
	f.Add("Basic Bearer x", "a\r\nSet-Cookie: b")
	f.Fuzz(func(t *testing.T, value, refusal string) {
		got, ok := Bearer(http.Header{"Authorization": {value}})
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return // nothing that net/http lets in and a token could hold
		}
		m := bearer.FindStringSubmatch(value)
		if ok != (m != nil) || ok && got != m[1] {
			t.Errorf("%q: got %q, %v", value, got, ok)
		}
		if _, two := Bearer(http.Header{"Authorization": {value, value}}); two {
			t.Errorf("two headers were taken")
		}
		c := Challenge("https://g.test/x", errText(refusal))
		if m := challenge.FindStringSubmatch(c); m == nil || m[1] != "https://g.test/x" {
			t.Errorf("%q makes the challenge %q", refusal, c)
		}
	})
}

type errText string

func (e errText) Error() string { return string(e) }

// Whatever an issuer publishes, keys come from an https URL or from this machine, and only where its document says that
// it is its own.
func FuzzDiscovery(f *testing.F) {
	const local = "http://127.0.0.1:9"
	f.Add(home, `{"issuer":"`+home+`","jwks_uri":"https://keys.example/k"}`, `{"keys":[]}`)
	f.Add(home, `{"issuer":"`+home+`","jwks_uri":"http://keys.example/k"}`, `{"keys":[]}`)
	f.Add(local, `{"issuer":"`+local+`","jwks_uri":"http://localhost:1/k"}`, string(encode(f, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{newEdDSA(f, "a").public()}})))
	f.Add(home, `{"issuer":"https://other.example","jwks_uri":"https://keys.example/k"}`, `{"keys":[]}`)
	f.Fuzz(func(t *testing.T, issuer, document, keys string) {
		if checkURL(issuer) != nil {
			return
		}
		var asked []*url.URL
		client := newClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL)
			text := keys
			if len(asked) == 1 {
				text = document
			}
			return &http.Response{Status: "200 OK", StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
		})})
		_, err := fetcher{issuer: issuer, client: client}.fetch(context.Background())
		if len(asked) > 2 {
			t.Fatalf("asked %v", asked)
		}
		if len(asked) == 2 {
			u := asked[1]
			here := u.Hostname() == "localhost" || u.Hostname() == "::1" || strings.HasPrefix(u.Hostname(), "127.")
			if u.Scheme != "https" && (u.Scheme != "http" || !here || !strings.HasPrefix(strings.ToLower(issuer), "http:")) {
				t.Fatalf("%s: keys were fetched from %s", document, u)
			}
			var doc struct{ Issuer string }
			if json.Unmarshal([]byte(document), &doc) != nil || doc.Issuer != issuer {
				t.Fatalf("%s was taken for a document of %s", document, issuer)
			}
		} else if err == nil {
			t.Fatalf("%s: no keys were fetched, and no error", document)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// checkRead compares whom a token speaks of with what encoding/json reads in its claims.
func checkRead(t *testing.T, claims string, id Identity) {
	t.Helper()
	var read map[string]any
	if err := json.Unmarshal([]byte(claims), &read); err != nil {
		t.Fatalf("%q passes: %v", claims, err)
	}
	list := func(v any) []any {
		if texts, ok := v.([]any); ok {
			return texts
		}
		return []any{v}
	}
	found := false
	for _, a := range list(read["aud"]) {
		found = found || a == resource
	}
	if exp, ok := read["exp"].(float64); !found || read["sub"] != id.Subject || !ok || int64(exp) != id.Expiry.Unix() {
		t.Fatalf("%q passes as %+v", claims, id)
	}
	if groups := list(read["groups"]); len(id.Groups) > 0 && (len(groups) != len(id.Groups) || groups[0] != id.Groups[0]) {
		t.Fatalf("%q passes as %+v", claims, id)
	}
}
