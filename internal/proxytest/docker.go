package proxytest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Docker runs Docker's command line, which finds the engine as the deployer does, and returns what it prints. Stdin may be
// nil.
func Docker(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "docker", args...)
	c.Stdin = stdin
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(failure.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// ImportImage makes an image of one static program, which it runs, in the engine.
func ImportImage(ctx context.Context, name, program string) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(text))}); err != nil {
		return err
	}
	_, _ = w.Write(text) // what goes wrong is said by Close
	if err := w.Close(); err != nil {
		return err
	}
	_, err = Docker(ctx, &layer, "import", "--change", `ENTRYPOINT ["/server"]`, "-", name)
	return err
}
