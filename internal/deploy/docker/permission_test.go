package docker

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// askAs has the test binary, started as another user, ask the engine that it names.
const askAs = "TEST_ASK_ENGINE"

// An engine whose socket is closed to the user says so, and how to open it.
func TestEngineIsClosedToUs(t *testing.T) {
	if address := os.Getenv(askAs); address != "" {
		_, err := connect(t.Context(), address)
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir, err := os.MkdirTemp("", "closed")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{socket: 0o600, dir: 0o711} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(copied, "-test.run=^TestEngineIsClosedToUs$")
	c.Dir, c.Env = "/", []string{askAs + "=unix://" + socket}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "only root and the group docker may use its socket") {
		t.Errorf("%v: %s", err, out)
	}
}
