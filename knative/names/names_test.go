package names

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"mcpgateway/internal/deploy"
)

var key = bytes.Repeat([]byte{7}, 32)

func TestService(t *testing.T) {
	owner := func(issuer, subject string) *deploy.Owner { return &deploy.Owner{Issuer: issuer, Subject: subject} }
	if got := Service(nil, deploy.Key{Server: "github"}); got != "mcp-github" {
		t.Errorf("shared: %s", got)
	}
	// Written down, as an update must not rename what runs: echo -n 'https://i\0alice' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707….
	if got := Service(key, deploy.Key{Server: "mine", Owner: owner("https://i", "alice")}); got != "mcp-mine-"+alice {
		t.Errorf("alice's: %s, want mcp-mine-%s", got, alice)
	}
	seen := map[string]bool{}
	for _, k := range []deploy.Key{
		{Server: "mine", Owner: owner("https://i", "alice")}, {Server: "mine", Owner: owner("https://i", "bob")},
		{Server: "mine", Owner: owner("https://ia", "lice")}, {Server: "yours", Owner: owner("https://i", "alice")},
	} {
		name := Service(key, k)
		if seen[name] || !regexp.MustCompile(`^mcp-(mine|yours)-[0-9a-f]{16}$`).MatchString(name) {
			t.Errorf("%+v is called %s", k.Owner, name)
		}
		seen[name] = true
	}
	other := bytes.Repeat([]byte{8}, 32)
	if k := (deploy.Key{Server: "mine", Owner: owner("https://i", "alice")}); Service(key, k) == Service(other, k) {
		t.Error("the name can be told without the key")
	}
}

func TestHost(t *testing.T) {
	if got := Host("mcp-github", "mcp-servers", "servers.example.com"); got != "mcp-github.mcp-servers.servers.example.com" {
		t.Error(got)
	}
}

func TestReadKey(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"short": 31, "enough": 32, "long": 65} {
		text := bytes.Repeat([]byte("\n"), size)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadKey(filepath.Join(dir, name))
		if (err != nil) != (name == "short") || err == nil && !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := ReadKey(filepath.Join(dir, "none")); err == nil {
		t.Error("no file is a key")
	}
}

const alice = "043375ea90c5a58c"
