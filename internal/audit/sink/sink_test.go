package sink

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/secret"
)

func newSink(t *testing.T, h http.HandlerFunc) *Sink {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s, err := New(Config{URL: server.URL + "/in?tenant=secret", Credential: secret.New("token"), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A sink of this machine may be a socket.
func TestSocket(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		heard <- r.URL.Path + " " + r.Header.Get("Authorization")
	}))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	s, err := New(Config{URL: "unix:" + at, Credential: secret.New("token"), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), "key", [][]byte{[]byte(`{"id":"a"}`)}); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "/audit Bearer token" {
		t.Errorf("heard %s", got)
	}
	if _, err := New(Config{URL: "unix:", Timeout: time.Second}); err == nil {
		t.Error("a socket without a path")
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body string
	s := newSink(t, func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		text, err := io.ReadAll(z)
		got, body = r, string(text)
		if err != nil {
			t.Error(err)
		}
	})
	for _, want := range []string{`[{"id":"a"},{"id":"b"}]`, `[{"id":"c"}]`} { // the second writes with what the first left
		var records [][]byte
		for _, r := range strings.SplitAfter(strings.Trim(want, "[]"), "}") {
			if r = strings.TrimPrefix(r, ","); r != "" {
				records = append(records, []byte(r))
			}
		}
		if err := s.Send(t.Context(), "key", records); err != nil {
			t.Fatal(err)
		}
		if body != want {
			t.Errorf("body %s, want %s", body, want)
		}
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Content-Encoding": "gzip", "Idempotency-Key": `"key"`, "Authorization": "Bearer token"} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

// Only what a receiver of records would answer counts as its word.
func TestAnswers(t *testing.T) {
	page := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
	}
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer inside.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   Failure // but for its cause
		cause  string  // empty: it is taken
	}{
		"nothing":         {page(204, "", ""), Failure{}, ""},
		"JSON":            {page(200, "application/json; charset=utf-8", `{"ok":true}`), Failure{}, ""},
		"sign-in page":    {page(200, "text/html", "<html>"), Failure{}, "only JSON"},
		"no kind":         {page(200, "", "ok"), Failure{}, "only JSON"},
		"error page":      {page(502, "text/html", "<html>"), Failure{RetryAfter: 7 * time.Second}, "502"},
		"busy":            {page(429, "", ""), Failure{RetryAfter: 7 * time.Second}, "429"},
		"wrong":           {page(400, "", ""), Failure{Final: true}, "400"},
		"unprocessable":   {page(422, "", ""), Failure{Final: true}, "422"},
		"too large":       {page(413, "", ""), Failure{TooLarge: true}, "413"},
		"not let in":      {page(401, "", ""), Failure{}, "401"},
		"gone elsewhere":  {page(404, "", ""), Failure{}, "404"},
		"redirect inward": {redirect(inside.URL), Failure{}, "307"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 32<<10))
			}
		}, Failure{}, "more than"},
		"breaks off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("{"))
		}, Failure{}, "read answer"},
		"long headers": {func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				w.Header().Add("X", strings.Repeat("x", 1<<10))
			}
		}, Failure{}, "header"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newSink(t, c.answer).Send(t.Context(), "key", [][]byte{[]byte("{}")})
			if c.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			f, ok := errors.AsType[*Failure](err)
			if !ok || f.Final != c.want.Final || f.TooLarge != c.want.TooLarge || f.RetryAfter != c.want.RetryAfter || !strings.Contains(f.Error(), c.cause) {
				t.Errorf("%+v (%v)", f, err)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "token") {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

func TestSlow(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		<-held
	}))
	defer server.Close()
	defer close(held)
	s, err := New(Config{URL: server.URL, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(context.Background(), "key", [][]byte{[]byte("{}")}); err == nil {
		t.Error("an answer that never came was taken")
	}
}

// An encrypted sink is who it says, or gets nothing.
func TestCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, c := range []struct {
		roots *x509.CertPool
		want  bool
	}{{roots, true}, {x509.NewCertPool(), false}} {
		s, err := New(Config{URL: server.URL, Timeout: 5 * time.Second, Roots: c.roots})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), "key", [][]byte{[]byte("{}")}); (err == nil) != c.want {
			t.Errorf("known %v: %v", c.want, err)
		}
	}
}

// A date is compared with our clock, and either may have jumped.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "99999999999999999999": 0, "18446744073709551615": maxRetryAfter, "3600": maxRetryAfter, "soon": 0,
		now.Add(10 * time.Second).Format(http.TimeFormat): 10 * time.Second,
		now.AddDate(80, 0, 0).Format(http.TimeFormat):     maxRetryAfter,
		now.AddDate(-80, 0, 0).Format(http.TimeFormat):    0,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "ftp://x", "http://", "https://a:b@x.test", "x.test/a", "%"} {
		if _, err := New(Config{URL: u, Timeout: time.Second}); err == nil {
			t.Errorf("%q was taken", u)
		}
	}
	if _, err := New(Config{URL: "https://x.test"}); err == nil {
		t.Error("no bound of time was taken")
	}
}
