package deploytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// testBridge stands in for the real bridge: it is started and configured in the same way, and carries one question and
// answer after the other between HTTP and its child. Its child gets what is the child's of the environment.
type testBridge struct {
	mu    sync.Mutex
	in    io.Writer
	lines *bufio.Reader
}

func runBridge(args []string) error {
	if len(args) < 2 || args[0] != "--" {
		return fmt.Errorf("the bridge is called with %q", args)
	}
	child := exec.Command(args[1], args[2:]...)
	child.Stderr = os.Stderr
	child.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SHIM_") })
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	path, ok := strings.CutPrefix(os.Getenv("SHIM_LISTEN"), "unix:")
	if !ok {
		return errors.New("the bridge has no socket")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go http.Serve(l, &testBridge{in: in, lines: bufio.NewReader(out)})
	return fmt.Errorf("the child ended: %w", child.Wait())
}

func (b *testBridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = fmt.Fprintf(b.in, "%s\n", body)
	}
	var line []byte
	if err == nil {
		line, err = b.lines.ReadBytes('\n')
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(line)
}
