package ruleset

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

type fixture struct {
	path string
	key  ed25519.PrivateKey
	r    rules.Rules
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{path: filepath.Join(t.TempDir(), "rules"), key: key}
	issuer := identitytest.New(t, "main", "https://issuer.test").Config(t)
	issuer.Default = true
	f.r = rules.Rules{Version: 5, Server: "github", Resources: []string{"https://g.test/mcp-connect/github"}, Issuers: []identity.Issuer{issuer},
		Policies: []policy.Policy{{Name: "p", Allow: &policy.Subjects{Anyone: true}, Servers: []string{"github"}}}}
	f.write(t, f.key, f.r)
	return f
}

func (f *fixture) write(t *testing.T, key ed25519.PrivateKey, r rules.Rules) {
	t.Helper()
	signed, err := rules.Sign(key, r)
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, signed)
}

func (f *fixture) put(t *testing.T, b []byte) {
	t.Helper()
	if err := os.WriteFile(f.path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) holder() (*Holder, error) {
	return NewHolder(Config{Server: "github", Path: f.path, Key: f.key.Public().(ed25519.PublicKey), Logger: slog.New(slog.DiscardHandler)})
}

func TestReload(t *testing.T) {
	f := newFixture(t)
	h, err := f.holder()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		go h.Watch(t.Context())
		step := func(want int64, what string) {
			t.Helper()
			time.Sleep(2 * reload)
			synctest.Wait()
			if got := h.Current().Rules.Version; got != want {
				t.Errorf("%s: version %d, want %d", what, got, want)
			}
		}
		step(5, "at first")
		first := h.Current()
		f.r.Version, f.r.Policies[0].Servers = 6, []string{"other"}
		f.write(t, f.key, f.r)
		step(6, "changed")
		if h.Current().Verifier != first.Verifier {
			t.Error("the verifier was made anew, though the issuers are the same")
		}
		if h.Current().Policies.Admits(identity.Identity{Issuer: "https://issuer.test", Subject: "a"}, "github") {
			t.Error("the revoked policy is in force")
		}
		old := f.r
		old.Version = 4
		f.write(t, f.key, old)
		step(6, "older")
		_, stranger, _ := ed25519.GenerateKey(nil)
		forged := f.r
		forged.Version = 9
		f.write(t, stranger, forged)
		step(6, "forged")
		elsewhere := f.r
		elsewhere.Version, elsewhere.Server = 9, "gitlab"
		f.write(t, f.key, elsewhere)
		step(6, "for another server")
		f.put(t, []byte("garbage"))
		step(6, "garbage")
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		step(6, "gone")
		f.r.Version = 7
		f.r.Issuers = append([]identity.Issuer{}, f.r.Issuers...)
		f.r.Issuers[0].GroupsClaim = "roles"
		f.write(t, f.key, f.r)
		step(7, "back")
		if h.Current().Verifier == first.Verifier {
			t.Error("the verifier is of the old issuers")
		}
	})
}

func TestNewHolderRefuses(t *testing.T) {
	f := newFixture(t)
	for what, change := range map[string]func(){
		"no file":        func() { _ = os.Remove(f.path) },
		"garbage":        func() { f.put(t, []byte("{}")) },
		"too large":      func() { f.put(t, make([]byte, rules.MaxBytes+1)) },
		"another server": func() { r := f.r; r.Server = "x"; f.write(t, f.key, r) },
		"broken policy":  func() { r := f.r; r.Policies = []policy.Policy{{Name: "x"}}; f.write(t, f.key, r) },
		"no issuer":      func() { r := f.r; r.Issuers = nil; f.write(t, f.key, r) },
		"broken filter":  func() { r := f.r; r.Filters = []rules.Filter{{Name: "x"}}; f.write(t, f.key, r) },
		"no resource":    func() { r := f.r; r.Resources = nil; f.write(t, f.key, r) },
	} {
		change()
		if _, err := f.holder(); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}
