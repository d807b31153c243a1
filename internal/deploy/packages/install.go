package packages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/procgroup"
)

// manager is a program that installs packages of one registry.
type manager struct {
	needs       []string // programs that must be there, the manager's own first
	advice      string   // what brings them
	variables   string   // prefix of its own variables in the environment, in capitals
	arguments   func(folder, name string) []string
	environment func(folder string) []string
	reason      func(lines []string) string               // of a failure, by what it printed; empty where that says nothing
	find        func(folder, name string) (string, error) // the program, relative to the folder
}

var managers = map[string]manager{deploy.RegistryNPM: npm, deploy.RegistryPyPI: uv}

// install installs p unless somebody else has meanwhile, and returns the path of its program.
func (s *Store) install(ctx context.Context, p deploy.Package, log *slog.Logger) (string, error) {
	m, ok := managers[p.Registry]
	if !ok {
		return "", fmt.Errorf("no registry is called %q", p.Registry)
	}
	lock, err := s.lock(ctx, p)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if program, ok := s.Installed(p); ok {
		return program, nil
	}
	folder, err := os.MkdirTemp(s.config.Folder, hiddenName(p)+"*")
	if err != nil {
		return "", err
	}
	program, err := m.install(ctx, folder, p, log)
	if err == nil {
		err = os.Chmod(folder, 0o755) // servers may run as other users; where they must not come, a folder above keeps them
	}
	if err == nil {
		err = s.publish(record{Package: p, Folder: filepath.Base(folder), Program: program})
	}
	if err != nil {
		os.RemoveAll(folder)
		return "", err
	}
	return filepath.Join(folder, program), nil
}

// lock waits until no other process installs p. The lock is let go by closing it.
func (s *Store) lock(ctx context.Context, p deploy.Package) (*os.File, error) {
	for {
		lock, err := s.tryLock(baseName(p))
		if lock != nil || err != nil {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tryLock returns nil where another has the lock.
func (s *Store) tryLock(base string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(s.config.Folder, base+lockSuffix), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if err == syscall.EWOULDBLOCK || err == syscall.EINTR {
		return nil, nil
	}
	return nil, err
}

// install fills folder, and returns the path of the program in it.
func (m manager) install(ctx context.Context, folder string, p deploy.Package, log *slog.Logger) (string, error) {
	for _, program := range m.needs {
		if _, err := exec.LookPath(program); err != nil {
			return "", &trouble{reason: program + " is not on the gateway's machine; install " + m.advice, cause: err}
		}
	}
	log.Info("installing package", "with", m.needs[0])
	out := &output{print: func(line string) { log.Info("installing", "line", line) }}
	err := m.run(ctx, folder, p.Name, out)
	out.end()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		reason := m.reason(out.last)
		if reason == "" {
			return "", fmt.Errorf("%s: %w", m.needs[0], err)
		}
		return "", &trouble{reason: m.needs[0] + " says " + reason, cause: err}
	}
	return m.find(folder, p.Name)
}

// run runs the manager to its end. All of its processes end with ctx, and none outlives it: those that scripts of the
// package leave behind would go on for ever.
func (m manager) run(ctx context.Context, folder, name string, out *output) error {
	// Where the kernel ends children with their parent, it goes by the thread that started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.CommandContext(ctx, m.needs[0], m.arguments(folder, name)...)
	command.Dir, command.Env = folder, append(inherited(m.variables), m.environment(folder)...)
	command.Stdout, command.Stderr = out, out // and no input: who asks for some gets its end
	command.WaitDelay = time.Second           // for a process that left the group and holds the pipe
	group, err := procgroup.Start(command)
	if err != nil {
		return err
	}
	if err = group.Wait(); errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and left somebody behind
	}
	return err
}

// passed are the variables that installing needs of ours: how to find programs, the home with the user's settings for
// registries, and the way to the network. In capitals; proxies are mostly written small.
var passed = []string{"PATH", "HOME", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// inherited is all that a manager gets of our environment.
func inherited(prefix string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		name = strings.ToUpper(name)
		if value != "" && (slices.Contains(passed, name) || strings.HasPrefix(name, prefix)) {
			env = append(env, variable)
		}
	}
	return env
}
