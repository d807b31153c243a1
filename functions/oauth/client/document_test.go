package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const documentID = "https://claude.ai/oauth/client"

// served is a network on which every host answers with handle.
func served(handle http.HandlerFunc) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		handle(w, r)
		return w.Result(), r.Context().Err()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func documentOf(id string) string {
	return fmt.Sprintf(`{"client_id":%q,"client_name":"Claude","redirect_uris":["http://localhost/callback"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`, id)
}

func TestDocument(t *testing.T) {
	now, fetched := time.Now(), 0
	d := NewDocuments(func() time.Time { return now }, served(func(w http.ResponseWriter, _ *http.Request) {
		fetched++
		if fetched == 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=600")
		fmt.Fprint(w, documentOf(documentID))
	}))
	find := func() *Client {
		t.Helper()
		c, err := d.find(t.Context(), documentID)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := find(); c.ID != documentID || c.Name != "Claude" || !c.Assured || c.Host != "claude.ai" || c.Auth != AuthNone {
		t.Errorf("%+v", c)
	}
	find()
	if fetched != 1 {
		t.Errorf("fetched %d times within its life", fetched)
	}
	now = now.Add(11 * time.Minute)
	find()
	now = now.Add(11 * time.Minute)
	find() // the server is down, and the old one good enough
	if fetched != 3 {
		t.Errorf("fetched %d times", fetched)
	}
}

func TestDocumentRefused(t *testing.T) {
	good := documentOf(documentID)
	for name, handle := range map[string]http.HandlerFunc{
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.TrimSuffix(good, "}")+`,"x":"`+strings.Repeat("x", maxDocument)+`"}`)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1/", http.StatusFound)
		},
		"missing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); fmt.Fprint(w, good) },
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, good)
		},
		"another": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, documentOf(documentID+"/")) },
		"twice": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(good, "{", `{"client_id":"x",`, 1))
		},
		"a secret": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(good, `"none"`, `"client_secret_basic"`, 1))
		},
		"evil": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Replace(good, "http://localhost/", "http://localhost.evil.com/", 1))
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := NewDocuments(time.Now, served(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				handle(w, r)
			}))
			if name == "slow" {
				d.client.Timeout = 50 * time.Millisecond
			}
			if c, err := d.find(t.Context(), documentID); !errors.Is(err, ErrDocument) {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestDocumentAddress(t *testing.T) {
	d := NewDocuments(time.Now, served(func(http.ResponseWriter, *http.Request) { t.Error("it was fetched") }))
	for _, id := range []string{"https://claude.ai", "https://claude.ai/", "http://claude.ai/x", "http://127.0.0.1/x", "https://claude.ai/x?y", "https://claude.ai/x?", "https://claude.ai/x#y",
		"https://u@claude.ai/x", "https://claude.ai:8443/x", "https://claude.ai/a/../x", "ftp://claude.ai/x", "https://[fe80::1%25eth0]/x"} {
		if _, err := d.find(t.Context(), id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestDocumentsBounded(t *testing.T) {
	d := NewDocuments(time.Now, served(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }))
	for n := range maxCached + 50 {
		_, _ = d.find(t.Context(), fmt.Sprintf("https://claude.ai/%d", n))
	}
	if len(d.cached) > maxCached {
		t.Errorf("%d are kept", len(d.cached))
	}
}

// Whatever a document holds, the client that comes of it is the one at that address, without a secret, and all its redirects pass.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(documentOf(documentID)))
	f.Add([]byte(`{"client_id":"` + documentID + `","redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[]}}`))
	f.Add([]byte(strings.Replace(documentOf(documentID), `"none"`, `"client_secret_basic"`, 1)))
	f.Add([]byte(`{"redirect_uris":[""],"client_name":"\u202e"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseDocument(documentID, data)
		if err != nil {
			return
		}
		if c.ID != documentID || c.SecretHash != nil || c.Auth != AuthNone && c.Keys == nil || len(c.RedirectURIs) == 0 || strings.ContainsFunc(c.Name, invisible) {
			t.Fatalf("%+v", c)
		}
		for _, uri := range c.RedirectURIs {
			if CheckRedirect(uri) != nil {
				t.Fatalf("redirects to %q", uri)
			}
		}
	})
}
