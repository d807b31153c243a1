package main

import (
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A configuration that is taken is whole: a server to dial at an address, a key of the right length, spans that are more
// than nothing. Everything wrong is reported by the variable's name.
func FuzzConfig(f *testing.F) {
	seal := filepath.Join(f.TempDir(), "key")
	if err := os.WriteFile(seal, make([]byte, 32), 0o600); err != nil {
		f.Fatal(err)
	}
	const key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	f.Add("http://127.0.0.1:1/mcp", key, "60s", "iss", "alice")
	f.Add("http://a:b@127.0.0.1:99999/", key[1:], "-1s", "iss", "")
	f.Add("http://[::1]:80?x#y", key, "", "", "")
	f.Add("http://:80/", key, "", "", "")
	f.Add("http://127.0.0.1:1/", key, "0s", "", "")
	f.Add("http://a:0/", key, "", "", "")
	f.Fuzz(func(t *testing.T, upstream, rulesKey, idle, issuer, subject string) {
		vars := map[string]string{"SHIM_SERVER": "a", "SHIM_LISTEN": "unix:/x", "SHIM_RULES": "/r", "SHIM_SEAL_KEY_FILE": seal,
			"SHIM_UPSTREAM": upstream, "SHIM_RULES_KEY": rulesKey, "SHIM_IDLE": idle, "SHIM_OWNER_ISSUER": issuer, "SHIM_OWNER_SUBJECT": subject}
		c, err := readConfig(func(name string) string { return vars[name] })
		if err != nil {
			if !strings.HasPrefix(err.Error(), "SHIM_") {
				t.Fatalf("no variable is named: %v", err)
			}
			return
		}
		host, port, err := net.SplitHostPort(c.Upstream.Host)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || c.Upstream.Scheme != "http" || c.Upstream.User != nil {
			t.Fatalf("upstream %q was taken", upstream)
		}
		if got := base64.StdEncoding.EncodeToString(c.RulesKey); len(c.RulesKey) != 32 || strings.NewReplacer("\r", "", "\n", "").Replace(rulesKey) != got {
			t.Fatalf("key %q was taken as %s", rulesKey, got)
		}
		if c.Idle < 0 || idle != "" && c.Idle == 0 || c.CallTimeout <= 0 || c.Silence <= 0 || c.Drain <= 0 {
			t.Fatalf("idle %q was taken: %+v", idle, c)
		}
		if (c.OwnerIssuer == "") != (c.OwnerSubject == "") || c.OwnerIssuer != issuer || c.OwnerSubject != subject {
			t.Fatalf("owner %q, %q was taken", issuer, subject)
		}
	})
}
