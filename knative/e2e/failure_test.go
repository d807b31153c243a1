package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What keeps a server from starting is known within seconds: the operator reads why, the caller a sentence.
func TestFailures(t *testing.T) {
	entry := func(id, image, args, more string) string {
		return "  - {id: " + id + ", title: Bad, runtime: {container: {image: " + image + ", port: 8090, args: " + args + "}}, scale: {idle: 6s}, startup: {timeout: 60s}" + more + "}\n"
	}
	good := `[-addr, "127.0.0.1:8090"]`
	s := start(t, documents{policies: everybody, servers: entry("no-image", "dev.local/nobody-has:1", good, "") +
		entry("crashes", sampleImage, `[-no-such-flag]`, "") +
		entry("no-secret", sampleImage, good, ", env: [{name: TOKEN, secret: {key: token}}]") +
		entry("too-big", sampleImage, good, ", resources: {cpu: \"2000\"}")})
	for id, want := range map[string]string{
		"no-image":  "nobody-has",
		"crashes":   "no-such-flag",
		"no-secret": "mcp-no-secret-server",
		"too-big":   "Insufficient cpu",
	} {
		t.Run(id, func(t *testing.T) {
			a := s.echo(id, s.token("alice", id), "x")
			t.Logf("%v", a)
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("status %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
			}
			if strings.Contains(a.body, want) {
				t.Errorf("the caller reads %q", a.body)
			}
			if a.took > 30*time.Second {
				t.Errorf("it took %v", a.took)
			}
			log, err := os.ReadFile(filepath.Join(s.dir, "deployer.log"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(log), want) {
				t.Errorf("the operator does not read %q", want)
			}
		})
	}
}
