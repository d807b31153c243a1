package process

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
	"mcpgateway/internal/logtest"
)

// TestMain runs the programs that tests start, all of which are this test binary.
func TestMain(m *testing.M) {
	deploytest.Main()
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		deploytest.Exit(Supervise())
	}
	os.Exit(m.Run())
}

// place is where a deployer under test lives.
type place struct {
	t        testing.TB
	config   Config
	deployer *Deployer
	log      *logtest.Log
}

// newPlace makes a deployer that runs test programs. The folder is not the test's own, whose path is too long for
// sockets.
func newPlace(t testing.TB) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, log: &logtest.Log{}}
	p.config = Config{
		State: filepath.Join(dir, "s"), Secrets: filepath.Join(dir, "secrets"), Shim: self(t),
		Supervisor: []string{self(t), "supervise"}, Drain: 20 * time.Second, Backoff: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	p.open()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.deployer.StopAll(ctx); err != nil {
			t.Error(err)
		}
		p.deployer.Close()
		if left := strayProcesses(dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the deployer's log:\n%s", p.log)
		}
	})
	return p
}

func (p *place) open() {
	p.t.Helper()
	var err error
	if p.deployer, err = New(p.config); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) bench() deploytest.Bench {
	return deploytest.Bench{
		Deployer: p.deployer,
		Again: func() deploytest.Deployer {
			p.deployer.Close()
			p.open()
			return p.deployer
		},
		Runtime: func(args ...string) catalog.Runtime {
			args = append([]string{deploytest.Program, "-port", "{port}"}, args...)
			return catalog.Runtime{Command: &catalog.Command{Exec: self(p.t), Args: args, HTTP: &catalog.HTTP{}}}
		},
		PutSecret: func(store, key, value string) {
			path := filepath.Join(p.config.Secrets, strings.TrimPrefix(store, "mcp-"), key)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				p.t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
				p.t.Fatal(err)
			}
		},
		Kill: func(instance deploy.Instance, unit string) {
			pid, ok := p.record(instance).Groups[unit]
			if !ok {
				p.t.Fatalf("no unit %s", unit) // and signal 0, which is us, never
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				p.t.Fatal(err)
			}
		},
		Environ: func(instance deploy.Instance, unit string) []string { return environ(p.record(instance).Groups[unit]) },
		Log:     p.log.String,
		Idle:    800 * time.Millisecond,
	}
}

// record is what an instance's supervisor wrote about its processes. An instance may be ready a moment before all of
// them stand there.
func (p *place) record(instance deploy.Instance) supervisorRecord {
	p.t.Helper()
	var r supervisorRecord
	for deadline := time.Now().Add(10 * time.Second); r.Groups["shim"] == 0 || r.Groups["server"] == 0; time.Sleep(time.Millisecond) {
		err := readJSON(filepath.Join(p.config.instances(), instance.ID, fileSupervisor), &r)
		if err != nil || time.Now().After(deadline) {
			p.t.Fatalf("no processes are recorded: %+v, %v", r, err)
		}
	}
	return r
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSuite(t *testing.T) {
	deploytest.Run(t, func(t *testing.T) deploytest.Bench { return newPlace(t).bench() })
}
