package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/identity/identitytest"
)

// bucket is S3 with the documents, which notes what is written.
type bucket struct {
	*s3mem.Backend
	t       *testing.T
	written []string
}

// listen has the environment name a bucket with a platform file.
func listen(t *testing.T, issuers string) *bucket {
	t.Helper()
	b := &bucket{Backend: s3mem.New(), t: t}
	if err := b.CreateBucket("docs"); err != nil {
		t.Fatal(err)
	}
	b.put("documents/platform.yaml", "apiVersion: v1\npublicURL: https://mcp.example.com\nissuers:\n"+issuers)
	real := gofakes3.New(b, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") {
			t.Errorf("%s is not signed", r.URL.Path)
		}
		if r.Method != http.MethodGet {
			b.written = append(b.written, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/docs/"))
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"PLATFORM": "s3://docs/documents/platform.yaml", "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id",
		"AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL_S3": server.URL, "AWS_LAMBDA_RUNTIME_API": ""} {
		t.Setenv(name, value)
	}
	return b
}

func (b *bucket) put(key, text string) {
	b.t.Helper()
	if _, err := b.PutObject("docs", key, nil, strings.NewReader(text), int64(len(text)), nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bucket) get(key string) string {
	b.t.Helper()
	o, err := b.GetObject("docs", key, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer o.Contents.Close()
	text, err := io.ReadAll(o.Contents)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func issuer(name, url, more string) string {
	return "  - {name: " + name + ", url: \"" + url + "\", audiences: [\"{resource}\"]" + more + "}\n"
}

var discard = slog.New(slog.DiscardHandler)

// What is written for an issuer is what a verifier reads that cannot reach it, and nobody is asked whom the platform file does
// not name so.
func TestKeysAreBrought(t *testing.T) {
	asked := identitytest.Listen(t, "asked")
	b := listen(t, issuer("asked", asked.URL, ", keys: keys/asked.json, default: true")+issuer("other", "https://other.invalid", ""))
	if err := run(discard); err != nil {
		t.Fatal(err)
	}
	if want := []string{"PUT documents/keys/asked.json"}; !slices.Equal(b.written, want) {
		t.Errorf("written is %q, want %q", b.written, want)
	}
	file := filepath.Join(t.TempDir(), "asked.json")
	if err := os.WriteFile(file, []byte(b.get("documents/keys/asked.json")), 0o600); err != nil {
		t.Fatal(err)
	}
	config := asked.Config(t)
	config.Keys, config.KeysFile = nil, file
	v, err := identity.NewVerifier(identity.Config{Issuers: []identity.Issuer{config}, Logger: discard, HTTPClient: &http.Client{Transport: nobody{t}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), asked.Token(t, "alice", "https://mcp.example.com/mcp-connect/notes", nil, nil), []string{"https://mcp.example.com/mcp-connect/notes"}); err != nil {
		t.Error(err)
	}
}

// nobody can be reached.
type nobody struct{ t *testing.T }

// RoundTrip implements http.RoundTripper.
func (n nobody) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("asked for %s", r.URL)
	return nil, http.ErrServerClosed
}

// One that does not answer keeps what is there, and its neighbours have theirs brought. The error, which an alarm counts, names it.
func TestOneThatIsDown(t *testing.T) {
	up := identitytest.Listen(t, "up")
	b := listen(t, issuer("up", up.URL, ", keys: keys/up.json, default: true")+issuer("down", "http://127.0.0.1:1", ", keys: keys/down.json"))
	b.put("documents/keys/down.json", "before")
	if err := run(discard); err == nil || !strings.Contains(err.Error(), "issuer http://127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if !slices.Equal(b.written, []string{"PUT documents/keys/up.json"}) || b.get("documents/keys/down.json") != "before" {
		t.Errorf("written is %q", b.written)
	}
}

// Nothing is written elsewhere than beside the platform file.
func TestElsewhere(t *testing.T) {
	up := identitytest.Listen(t, "up")
	for _, keys := range []string{"../catalog.yaml", "/etc/keys.json"} {
		b := listen(t, issuer("up", up.URL, ", keys: "+keys+", default: true"))
		if err := run(discard); err == nil || !strings.Contains(err.Error(), "must be beside the platform file") || b.written != nil {
			t.Errorf("%s: %v, written is %q", keys, err, b.written)
		}
	}
	for _, platform := range []string{"", "platform.yaml", "s3://docs"} {
		t.Setenv("PLATFORM", platform)
		if err := run(discard); err == nil || !strings.Contains(err.Error(), "s3://BUCKET/KEY") {
			t.Errorf("%q: %v", platform, err)
		}
	}
}
