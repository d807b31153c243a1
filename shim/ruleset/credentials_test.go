package ruleset

import (
	"crypto/ed25519"
	"log/slog"
	"testing"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/exchange"
)

// Tokens outlive versions that do not concern them; rules that this shim has no secret for are not taken.
func TestCredentials(t *testing.T) {
	f := newFixture(t)
	header := func(key string) *rules.Credentials {
		return &rules.Credentials{Headers: []rules.Header{{Name: "X-Key", Secret: key}}}
	}
	f.r.Credentials = header("k")
	f.write(t, f.key, f.r)
	h, err := NewHolder(Config{Server: "github", Path: f.path, Key: f.key.Public().(ed25519.PublicKey), Logger: slog.New(slog.DiscardHandler),
		Secrets: exchange.Secrets{Headers: map[string]secret.Text{"k": secret.New("v")}}})
	if err != nil {
		t.Fatal(err)
	}
	next := func(c *rules.Credentials, resources ...string) error {
		f.r.Version++
		f.r.Credentials = c
		if resources != nil {
			f.r.Resources = resources
		}
		f.write(t, f.key, f.r)
		return h.load()
	}
	first := h.Current()
	if err := next(header("k")); err != nil || first.Exchange == nil || h.Current().Exchange != first.Exchange || h.Current() == first {
		t.Errorf("%v: an exchanger that was the same is not kept", err)
	}
	if err := next(header("missing")); err == nil || h.Current().Exchange != first.Exchange {
		t.Errorf("rules with a secret that is not there: %v", err)
	}
	if err := next(header("k"), "https://new.test/mcp-connect/github"); err != nil || h.Current().Exchange == first.Exchange {
		t.Errorf("%v: a challenge would name a URL of before", err)
	}
	if err := next(nil); err != nil || h.Current().Exchange != nil {
		t.Errorf("%v: credentials that the rules no longer have", err)
	}
}
