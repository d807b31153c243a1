package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadWebhookConfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := map[string]string{"SHIM_LISTEN": "unix:/x", "SHIM_WEBHOOK_URL": "https://hooks.example.com/a", "SHIM_WEBHOOK_EGRESS": "public",
		"SHIM_WEBHOOK_TIMEOUT": "3s", "SHIM_WEBHOOK_SECRET_FILE": file("secret", "s e\r\n")}
	read := func(name, value string) (webhookConfig, error) {
		return readWebhookConfig(func(asked string) string {
			if asked == name {
				return value
			}
			return good[asked]
		})
	}
	c, err := read("", "")
	if err != nil || c.Socket != "/x" || c.URL.Host != "hooks.example.com" || c.Egress != nil || c.Timeout != 3*time.Second || c.Secret.Reveal() != "s e" {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = read("SHIM_WEBHOOK_EGRESS", "10.0.0.0/8 443"); err != nil || len(c.Egress) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = read("SHIM_WEBHOOK_SECRET_FILE", ""); err != nil || !c.Secret.Empty() {
		t.Errorf("%+v, %v", c, err)
	}
	for _, change := range [][2]string{{"SHIM_LISTEN", "127.0.0.1:1"}, {"SHIM_LISTEN", "unix:x"}, {"SHIM_LISTEN", ""}, {"SHIM_WEBHOOK_URL", ""}, {"SHIM_WEBHOOK_URL", "https://u:p@x/"},
		{"SHIM_WEBHOOK_URL", "ftp://x/"}, {"SHIM_WEBHOOK_EGRESS", "all"}, {"SHIM_WEBHOOK_TIMEOUT", "0s"}, {"SHIM_WEBHOOK_SECRET_FILE", file("empty", "\n")},
		{"SHIM_WEBHOOK_SECRET_FILE", "/nothing"}, {"SHIM_WEBHOOK_SECRET_FILE", file("long", strings.Repeat("x", maxSecret+1))}} {
		if _, err := read(change[0], change[1]); err == nil || !strings.Contains(err.Error(), change[0]) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%v: %v", change, err)
		}
	}
}
