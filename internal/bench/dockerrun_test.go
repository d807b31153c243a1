package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/measure"
)

// What is compared are the same two containers: nothing that the deployer asks for is left out.
func TestRunArguments(t *testing.T) {
	dir := t.TempDir()
	mounted := filepath.Join(dir, "mounted")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounted, "key"), []byte("k"), 0o400); err != nil {
		t.Fatal(err)
	}
	var c container
	text := `{"Config": {"Image": "sha256:1", "User": "1:1", "Env": ["A=b c"], "Entrypoint": ["/mcp/shim"], "Cmd": ["proxy"]},
		"HostConfig": {"ReadonlyRootfs": true, "Init": true, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "Memory": 1024, "MemorySwap": 1024,
			"NanoCpus": 500000000, "PidsLimit": 512, "Tmpfs": {"/tmp": "rw"}, "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1"}]},
			"LogConfig": {"Type": "json-file", "Config": {"max-size": "16m"}}},
		"Mounts": [{"Source": "` + mounted + `", "Destination": "/run/secrets", "RW": false}, {"Source": "/spool", "Destination": "/run/state", "RW": true}]}`
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if err := c.keep(filepath.Join(dir, "kept")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(mounted); err != nil {
		t.Fatal(err)
	}
	if key, err := os.ReadFile(filepath.Join(dir, "kept", "0", "key")); err != nil || string(key) != "k" {
		t.Errorf("kept %q, %v", key, err)
	}
	got := strings.ReplaceAll(strings.Join(c.arguments("net", "127.0.0.1:1"), " "), dir, "DIR")
	for _, part := range []string{"--network net", "--user 1:1", "--read-only", "--init", "--cap-drop ALL", "--security-opt no-new-privileges", "--env A=b c",
		"--memory 1024", "--memory-swap 1024", "--pids-limit 512", "--cpus 0.5", "--tmpfs /tmp:rw", "--publish 127.0.0.1:1:8080/tcp",
		"--log-driver json-file", "--log-opt max-size=16m", "--volume DIR/kept/0:/run/secrets:ro", "--volume /spool:/run/state"} {
		if !strings.Contains(got+" ", " "+part+" ") {
			t.Errorf("no %q in %s", part, got)
		}
	}
	if diff := cmp.Diff([]string{"--entrypoint", "/mcp/shim", "sha256:1", "proxy"}, c.arguments("net", "")[len(c.arguments("net", ""))-4:]); diff != "" {
		t.Error(diff)
	}
}

// Without an engine the rest is measured all the same, and the output says what was not.
func TestContainersWithoutEngine(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	var out strings.Builder
	if err := containers(t.Context(), &measure.Printer{Out: &out}, "", 0, 0); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "SKIPPED, no Docker Engine answers") {
		t.Errorf("printed %q", &out)
	}
}
