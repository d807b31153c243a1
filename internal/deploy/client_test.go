package deploy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// serve answers on a Unix socket and returns its path. The folder is short: a socket's path must fit 104 bytes.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return path
}

func TestClientAsks(t *testing.T) {
	var asked []string
	c := NewClient(serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+strings.TrimSpace(string(body)))
		switch r.URL.Path {
		case PathEnsure:
			io.WriteString(w, `{"id":"i","url":"unix:///s","cold":true}`)
		case PathFind:
			io.WriteString(w, `{"found":true,"instance":{"id":"i","url":"unix:///s"}}`)
		case PathStatus:
			io.WriteString(w, `[{"key":{"server":"a"},"id":"i","hash":"h"}]`)
		}
	}))
	ctx := context.Background()
	ensured, err := c.Ensure(ctx, Key{Server: "a", Owner: alice})
	if want := (Instance{ID: "i", URL: "unix:///s", Cold: true}); err != nil || ensured != want {
		t.Errorf("Ensure = %+v, %v", ensured, err)
	}
	found, ok, err := c.Find(ctx, Key{Server: "a"})
	if want := (Instance{ID: "i", URL: "unix:///s"}); err != nil || !ok || found != want {
		t.Errorf("Find = %+v, %v, %v", found, ok, err)
	}
	status, err := c.Status(ctx)
	if diff := cmp.Diff([]Status{{Key: Key{Server: "a"}, ID: "i", Hash: "h"}}, status); err != nil || diff != "" {
		t.Errorf("Status: %v\n%s", err, diff)
	}
	want := []string{
		`POST /ensure {"server":"a","owner":{"issuer":"https://login.example.com","subject":"alice"}}`,
		`POST /find {"server":"a"}`,
		`GET /status `,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("the deployer was asked something else:\n%s", diff)
	}
}

// A deployer elsewhere in the network is asked the same, and is shown the token that the file holds at that moment. Nobody else is.
func TestRemoteClient(t *testing.T) {
	var shown []string
	var elsewhere string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Host+" "+r.Header.Get("Authorization"))
		if elsewhere != "" {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
			return
		}
		io.WriteString(w, `{"id":"i","url":"https://ingress.test","host":"mcp-a.ns.test"}`)
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	client := NewRemoteClient(server.URL, token)
	ask := func() (Instance, error) { return client.Ensure(t.Context(), Key{Server: "a"}) }
	if got, err := ask(); err == nil || len(shown) > 0 {
		t.Errorf("without a token: %+v, shown %q", got, shown)
	}
	var want []string
	for _, now := range []string{"one", "two\n"} {
		if err := os.WriteFile(token, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, strings.TrimPrefix(server.URL, "http://")+" Bearer "+strings.TrimSpace(now))
		got, err := ask()
		if want := (Instance{ID: "i", URL: "https://ingress.test", Host: "mcp-a.ns.test"}); err != nil || got != want {
			t.Errorf("Ensure = %+v, %v", got, err)
		}
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("it was shown (-want +got):\n%s", diff)
	}
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("it went on to %s", r.Host) }))
	defer thief.Close()
	elsewhere = thief.URL
	if _, err := ask(); err == nil {
		t.Error("a redirect is an answer")
	}
	if err := os.WriteFile(token, []byte(strings.Repeat("x", maxToken+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(); err == nil || len(shown) != 3 {
		t.Errorf("more than a token: %v, shown %d", err, len(shown))
	}
}

func TestClientFailures(t *testing.T) {
	general := &StartError{Code: CodeUnavailable, Message: "The server cannot be started now.", RetryAfter: time.Second}
	for name, c := range map[string]struct {
		status int
		body   string
		want   *StartError
	}{
		"named":       {429, `{"code":"limit","message":"Too many.","retryAfterMs":1500}`, &StartError{Code: CodeLimit, Message: "Too many.", RetryAfter: 1500 * time.Millisecond}},
		"not ours":    {502, `<html>`, general},
		"no code":     {500, `{}`, general},
		"not for us":  {401, `{"code":"limit","message":"Sign in."}`, general},
		"for others":  {403, `{"code":"limit","message":"Go."}`, general},
		"broken 200":  {200, `{"id":`, general},
		"wrong types": {200, `{"id":1}`, general},
	} {
		t.Run(name, func(t *testing.T) {
			client := NewClient(serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			_, err := client.Ensure(context.Background(), Key{Server: "a"})
			var got *StartError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a StartError", err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(StartError{}, "Cause")); diff != "" {
				t.Errorf("another failure:\n%s", diff)
			}
			if got.Cause == nil {
				t.Error("no cause for the log")
			}
		})
	}
}

func TestClientWithoutDeployer(t *testing.T) {
	_, _, err := NewClient(filepath.Join(t.TempDir(), "none")).Find(context.Background(), Key{Server: "a"})
	if got := AsStartError(err); got.Code != CodeUnavailable || got.RetryAfter != time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestClientGivesUpWithItsCaller(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	c := NewClient(serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Ensure(ctx, Key{Server: "a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestAsStartError(t *testing.T) {
	cause := errors.New("disk full at /secret/place")
	named := &StartError{Code: CodeLimit, Message: "Too many.", Cause: cause}
	if got := AsStartError(named); got != named {
		t.Errorf("got %+v", got)
	}
	hidden := AsStartError(cause)
	if hidden.Code != CodeUnavailable || !errors.Is(hidden, cause) || hidden.Error() != "The server cannot be started now." {
		t.Errorf("got %+v", hidden)
	}
}

func TestKeyID(t *testing.T) {
	keys := []Key{
		{Server: "a"}, {Server: "b"}, {Server: "a", Owner: alice},
		{Server: "a", Owner: &Owner{Issuer: alice.Issuer, Subject: "bob"}},
		{Server: "a", Owner: &Owner{Issuer: "https://other.example.com", Subject: "alice"}},
	}
	seen := map[KeyID]bool{}
	for _, k := range keys {
		if seen[k.ID()] {
			t.Errorf("%+v has another's id", k)
		}
		seen[k.ID()] = true
	}
	copied := *alice
	if !seen[Key{Server: "a", Owner: &copied}.ID()] {
		t.Error("equal keys have different ids")
	}
}
