package lists

import (
	"bytes"
	"context"
	"encoding/json"
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

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/secret"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func key(t testing.TB, fill byte, server string) *Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{fill}, KeySize), server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample() *Snapshot {
	return &Snapshot{Server: "notes", Revision: "r1", Policies: "p1", Made: noon, Version: "2025-11-25", Answer: [8]byte{1, 2}, Sessions: true,
		Legacy: map[string]Result{"tools/list": {Value: json.RawMessage(`{"tools":[{"name":"get"}]}`)}},
		Modern: map[string]Result{"tools/list": {Value: json.RawMessage(`{"resultType":"complete","tools":[{"name":"get"}]}`), Until: noon.Add(time.Minute)}}}
}

func seal(t testing.TB, k *Key, s *Snapshot) []byte {
	t.Helper()
	sealed, err := k.Seal(s)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealOpen(t *testing.T) {
	k := key(t, 1, "notes")
	sealed := seal(t, k, sample())
	got, err := k.Open(sealed, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
	if bytes.Contains(sealed, []byte("tools")) {
		t.Error("whoever keeps it can read it")
	}
}

func TestOpenRefuses(t *testing.T) {
	k := key(t, 1, "notes")
	good := seal(t, k, sample())
	changed := bytes.Clone(good)
	changed[len(changed)-1] ^= 1
	other := sample()
	other.Server = "other"
	bare := sample()
	bare.Policies = ""
	for name, c := range map[string]struct {
		sealed []byte
		now    time.Time
		want   string
	}{
		"nothing":                  {nil, noon, "unknown format"},
		"plain":                    {[]byte(`{"server":"notes"}`), noon, "unknown format"},
		"another format":           {append([]byte("mcpgateway-lists-2\n"), good[len(format):]...), noon, "unknown format"},
		"changed":                  {changed, noon, "not sealed by"},
		"cut short":                {good[:len(good)-1], noon, "not sealed by"},
		"longer than possible":     {append(bytes.Clone(good), make([]byte, MaxBytes)...), noon, "too long"},
		"another key":              {seal(t, key(t, 2, "notes"), sample()), noon, "not sealed by"},
		"another server, same key": {seal(t, key(t, 1, "other"), other), noon, "not sealed by"},
		"without policies":         {seal(t, k, bare), noon, "no policies"},
		"too old":                  {good, noon.Add(MaxAge + time.Second), "made at"},
		"from the future":          {good, noon.Add(-maxSkew - time.Second), "future"},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := k.Open(c.sealed, c.now); err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", s, err, c.want)
			}
		})
	}
	if _, err := k.Seal(other); err == nil {
		t.Error("sealed another server's")
	}
	big := sample()
	big.Legacy["prompts/list"] = Result{Value: json.RawMessage(`"` + strings.Repeat("x", MaxBytes) + `"`)}
	if _, err := k.Seal(big); err == nil {
		t.Error("sealed more than possible")
	}
	if _, err := NewKey(make([]byte, KeySize-1), "notes"); err == nil {
		t.Error("a short key")
	}
}

func TestFresh(t *testing.T) {
	said := Result{Value: json.RawMessage(`{}`), Until: noon}
	for name, c := range map[string]struct {
		r    Result
		now  time.Time
		want bool
	}{
		"nothing said of it": {Result{Value: said.Value}, noon, true}, "before": {said, noon.Add(-1), true}, "after": {said, noon, false}, "no result": {Result{}, noon, false},
	} {
		if got := c.r.Fresh(c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSessions(t *testing.T) {
	k := key(t, 1, "notes")
	s := Session{Params: `{"protocolVersion":"2025-11-25"}`, Version: "2025-11-25", Answer: [8]byte{3}, Opened: noon}
	id, ok := k.SealSession(s, "https://issuer", "alice")
	if !ok || !IsSession(id) {
		t.Fatal(id, ok)
	}
	got, err := k.OpenSession(id, "https://issuer", "alice", noon.Add(time.Hour))
	if err != nil || got != s {
		t.Errorf("%+v, %v", got, err)
	}
	altered := id[:len(id)-2] + map[bool]string{true: "AA", false: "BB"}[!strings.HasSuffix(id, "AA")]
	for name, c := range map[string]struct {
		k               *Key
		id, issuer, sub string
		now             time.Time
	}{
		"another user":   {k, id, "https://issuer", "bob", noon},
		"another issuer": {k, id, "https://issuer2", "alice", noon},
		"moved bytes":    {k, id, "https://issuera", "lice", noon},
		"another server": {key(t, 1, "other"), id, "https://issuer", "alice", noon},
		"another key":    {key(t, 2, "notes"), id, "https://issuer", "alice", noon},
		"altered":        {k, altered, "https://issuer", "alice", noon},
		"expired":        {k, id, "https://issuer", "alice", noon.Add(maxSessionAge + time.Second)},
		"a shim's":       {k, "s2." + id[3:], "https://issuer", "alice", noon},
		"a snapshot":     {k, prefix + base64url.Encode(seal(t, k, sample())[len(format):]), "https://issuer", "alice", noon},
		"too long":       {k, id + strings.Repeat("A", MaxSession), "https://issuer", "alice", noon},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.k.OpenSession(c.id, c.issuer, c.sub, c.now); err != ErrUnknown || got != (Session{}) { //nolint:errorlint // exactly this one
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	s.Params = strings.Repeat("x", MaxSession)
	if _, ok := k.SealSession(s, "https://issuer", "alice"); ok {
		t.Error("sealed more than an id holds")
	}
}

// shelf keeps what was left, as functions/audit does.
func shelf(t *testing.T) (at *Place, left *[]byte) {
	t.Helper()
	left = new([]byte)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != Path:
			w.WriteHeader(http.StatusTeapot)
		case r.Method == http.MethodPut && r.Header.Get("Authorization") == "Bearer notes.token":
			got, err := ReadLeft(r)
			if err != nil {
				t.Error(err)
			}
			*left = got
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			sealed, ok := ForReader(*left, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = w.Write(sealed)
		}
	}))
	t.Cleanup(s.Close)
	at, err := NewPlace(s.URL+"/audit", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return at, left
}

func TestPlace(t *testing.T) {
	at, left := shelf(t)
	k := key(t, 1, "notes")
	if s, err := at.Read(t.Context(), k, noon); s != nil || err != nil {
		t.Errorf("before: %v, %v", s, err)
	}
	if err := at.Leave(t.Context(), k, sample(), secret.New("other.token")); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with another token: %v", err)
	}
	if err := at.Leave(t.Context(), k, sample(), secret.New("notes.token")); err != nil {
		t.Fatal(err)
	}
	if s, err := at.Read(t.Context(), k, noon); err != nil || cmp.Diff(sample(), s) != "" {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := at.Read(t.Context(), key(t, 2, "notes"), noon); s != nil || err != nil {
		t.Errorf("another reader: %v, %v", s, err)
	}
	(*left)[len(*left)-1] ^= 1
	if s, err := at.Read(t.Context(), k, noon); s != nil || err == nil {
		t.Errorf("changed where it was kept: %v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := at.Read(ctx, k, noon); s != nil || err == nil {
		t.Errorf("nobody there: %v, %v", s, err)
	}
	for _, url := range []string{"", "ftp://x/audit", "https://user@x/audit", "/audit"} {
		if _, err := NewPlace(url, time.Second); err == nil {
			t.Errorf("a place at %q", url)
		}
	}
}

// A place may be a socket of this machine.
func TestPlaceOnASocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "lists") // short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var asked string
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.RequestURI()
		w.WriteHeader(http.StatusNotFound)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	at, err := NewPlace("unix:"+path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := at.Read(t.Context(), key(t, 1, "notes"), noon); got != nil || err != nil || asked != "GET /lists?server=notes" {
		t.Errorf("%v, %v, asked %q", got, err, asked)
	}
}

func TestReadLeftRefuses(t *testing.T) {
	hash := base64url.Encode(make([]byte, 32))
	for name, c := range map[string]struct{ reader, body string }{
		"no reader": {"", format}, "a short reader": {hash[1:], format}, "another format": {hash, "{}"}, "too long": {hash, format + strings.Repeat("x", MaxBytes)},
	} {
		r := httptest.NewRequest(http.MethodPut, Path, io.NopCloser(strings.NewReader(c.body)))
		r.Header.Set(HeaderReader, c.reader)
		if left, err := ReadLeft(r); err == nil {
			t.Errorf("%s: %d bytes", name, len(left))
		}
	}
	for _, left := range [][]byte{nil, make([]byte, 31)} {
		if _, ok := ForReader(left, "x"); ok {
			t.Error("read of nothing")
		}
	}
}

// FuzzOpen proves that no bytes but sealed ones are opened, of snapshots and of sessions, and that what was sealed never
// makes them panic.
func FuzzOpen(f *testing.F) {
	k := key(f, 1, "notes")
	f.Add(seal(f, key(f, 2, "notes"), sample())) // with another key: what is sealed is other bytes in each process of a fuzzer
	f.Add([]byte(`{"server":"notes","revision":"r","policies":"p","made":"2026-11-28T12:00:00Z","legacy":{"tools/list":{"value":{}}}}`))
	f.Add([]byte(`{"server":"notes","revision":"r","policies":"p","made":"2026-11-18T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := k.Open(data, noon); err == nil {
			t.Fatalf("opened what nobody sealed: %+v", s)
		}
		if _, err := k.OpenSession(string(data), "i", "s", noon); err == nil {
			t.Fatal("opened an id that nobody sealed")
		}
		s, err := k.Open(append([]byte(format), k.snapshot.Seal(nil, nil, data, k.bound(format))...), noon)
		if err != nil {
			return
		}
		if s.Server != "notes" || s.Revision == "" || s.Policies == "" || s.Made.After(noon.Add(maxSkew)) || noon.Sub(s.Made) > MaxAge {
			t.Fatalf("opened %+v", s)
		}
	})
}
