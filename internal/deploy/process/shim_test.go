package process

import (
	"os/exec"
	"path/filepath"
	"testing"

	"mcpgateway/internal/deploy/deploytest"
)

// TestSuiteWithShim runs the suite again with the real shim.
func TestSuiteWithShim(t *testing.T) {
	program := filepath.Join(t.TempDir(), "shim")
	if out, err := exec.Command("go", "build", "-o", program, "mcpgateway/shim").CombinedOutput(); err != nil {
		t.Skipf("the shim does not build: %v\n%s", err, out)
	}
	deploytest.Run(t, func(t *testing.T) deploytest.Bench {
		p := newPlace(t)
		p.deployer.Close()
		p.config.Shim = program
		p.open()
		return p.bench()
	})
}
