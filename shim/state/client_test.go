package state

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/secret"
)

func newClient(t *testing.T, url string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{URL: url, Credential: secret.New("github.hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a store asks and answers, at a URL and at a socket.
func TestClient(t *testing.T) {
	var asked []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("If-Match")+r.Header.Get("If-None-Match"))
		w.Header().Set("Etag", `"3"`)
		switch {
		case r.Header.Get("If-Match") == `"2"`:
			w.WriteHeader(http.StatusPreconditionFailed)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(r.URL.Path, "/none"):
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte("sealed"))
		}
	})
	dir, err := os.MkdirTemp("", "store") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	local := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	local.Start()
	t.Cleanup(local.Close)
	far := httptest.NewServer(handler)
	t.Cleanup(far.Close)
	for _, url := range []string{far.URL + "/sessions", far.URL + "/sessions/", "unix:" + l.Addr().String()} {
		c := newClient(t, url)
		asked = nil
		if sealed, version, err := c.Get(t.Context(), "name"); string(sealed) != "sealed" || version != `"3"` || err != nil {
			t.Errorf("%q, %q, %v", sealed, version, err)
		}
		if sealed, version, err := c.Get(t.Context(), "none"); sealed != nil || version != "" || err != nil {
			t.Errorf("of what is not there: %q, %q, %v", sealed, version, err)
		}
		until := time.Unix(1795867200, 0)
		if version, err := c.Put(t.Context(), "name", "", []byte("x"), until); version != `"3"` || err != nil {
			t.Errorf("%q, %v", version, err)
		}
		if _, err := c.Put(t.Context(), "name", `"2"`, []byte("x"), until); !errors.Is(err, ErrConflict) {
			t.Errorf("%v", err)
		}
		const token = " Bearer github.hunter2 "
		want := "GET /sessions/name" + token + "\nGET /sessions/none" + token + "\nPUT /sessions/name?expires=1795867200" + token + "*\nPUT /sessions/name?expires=1795867200" + token + `"2"`
		if got := strings.Join(asked, "\n"); got != want {
			t.Errorf("%s: asked was\n%s\nwant\n%s", url, got, want)
		}
	}
}

// Whatever else answers is no store: no record, no word that something is kept, and no token goes elsewhere.
func TestClientTrustsNobody(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent on: %v", r.Header) }))
	defer stranger.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, stranger.URL, http.StatusTemporaryRedirect)
		},
		"a page":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("Sign in")) },
		"another's 404":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such page", http.StatusNotFound) },
		"no version":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"a weak version": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `W/"1"`) },
		"a long version": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"`+strings.Repeat("1", maxVersion)+`"`)
		},
		"a spaced version": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", "\"1\t2\"") },
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			_, _ = w.Write(make([]byte, maxAnswer+1))
		},
		"an end in between": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = w.Write([]byte("x"))
		},
		"refusal": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		server := httptest.NewServer(answer)
		c := newClient(t, server.URL)
		sealed, _, err := c.Get(t.Context(), "name-of-a-record")
		if err == nil || sealed != nil {
			t.Errorf("%s: %q, %v", name, sealed, err)
		}
		_, wrong := c.Put(t.Context(), "name-of-a-record", "", []byte("x"), time.Now())
		if wrong == nil || errors.Is(wrong, ErrConflict) {
			t.Errorf("%s: written, %v", name, wrong)
		}
		if text := errors.Join(err, wrong).Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "name-of-a-record") {
			t.Errorf("%s: the error holds what is nobody's business: %s", name, text)
		}
		server.Close()
		if _, _, err := c.Get(context.Background(), "name-of-a-record"); err == nil || strings.Contains(err.Error(), "name-of-a-record") {
			t.Errorf("%s, gone: %v", name, err)
		}
	}
	for _, url := range []string{"", "ftp://x", "http://", "https://u:p@x/", "https://x/?a=b", "unix"} {
		if _, err := NewClient(ClientConfig{URL: url, Credential: secret.New("x")}); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	if _, err := NewClient(ClientConfig{URL: "https://x"}); err == nil {
		t.Error("no token is needed")
	}
}
