package identity

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFetch runs against a real server, where redirects and long bodies are real too.
func TestFetch(t *testing.T) {
	key := newES256(t, "k1")
	keys := func(w http.ResponseWriter, r *http.Request) { w.Write(snapshotOf(t, key)) }
	elsewhere := httptest.NewServer(http.HandlerFunc(keys))
	t.Cleanup(elsewhere.Close)
	for _, tc := range []struct {
		name      string
		discovery string // %s is the issuer
		keys      http.HandlerFunc
		want      string // in the error; none where empty
	}{
		{"good", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, keys, ""},
		{"keys at another port of this machine", `{"issuer":"%s","jwks_uri":"` + elsewhere.URL + `"}`, nil, ""},
		{"another issuer", `{"issuer":"%[1]s/","jwks_uri":"%[1]s/keys"}`, keys, "did not match"},
		{"no issuer", `{"jwks_uri":"%[1]s/keys"}`, keys, "did not match"},
		{"no keys", `{"issuer":"%[1]s"}`, keys, "jwks_uri"},
		{"keys in plain http elsewhere", `{"issuer":"%s","jwks_uri":"http://issuer.example/keys"}`, keys, "jwks_uri"},
		{"keys in a file", `{"issuer":"%s","jwks_uri":"file:///etc/passwd"}`, keys, "jwks_uri"},
		{"no JSON", `<html>%s`, keys, "discovery document"},
		{"long discovery document", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys","x":"` + strings.Repeat("x", maxDocument) + `"}`, keys, "too large"},
		{"redirected", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, "302"},
		{"not found", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, http.NotFound, "404"},
		{"endless keys", `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, "too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mux := http.NewServeMux()
			server := httptest.NewServer(mux)
			defer server.Close()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, tc.discovery, server.URL)
			})
			if tc.keys != nil {
				mux.HandleFunc("/keys", tc.keys)
			}
			set, err := fetcher{issuer: server.URL, client: newClient(nil)}.fetch(t.Context())
			if tc.want == "" {
				if err != nil || len(set.keys) != 1 {
					t.Errorf("got %v, %v", set, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %.200v; want %q", set, err, tc.want)
			}
		})
	}
}

func TestKeysURLOfHTTPSIssuer(t *testing.T) {
	f := fetcher{issuer: home}
	for url, good := range map[string]bool{
		"https://keys.example/a":  true,
		"http://keys.example/a":   false,
		"http://127.0.0.1/a":      false,
		"https:///a":              false,
		"//keys.example/a":        false,
		"http://issuer.example/a": false,
	} {
		if err := f.checkKeysURL(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestShortenCutsWhatTheOtherSideSent(t *testing.T) {
	if got := shorten(fmt.Errorf("%s", strings.Repeat("é", 1000))); len(got) > 310 || !strings.HasSuffix(got, "é…") {
		t.Errorf("got %q", got)
	}
}
