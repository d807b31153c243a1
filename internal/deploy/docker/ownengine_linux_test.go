package docker

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// ownEngine is an engine of one test, which may do with it what nobody else would like.
type ownEngine struct {
	t       *testing.T
	dir     string
	process *exec.Cmd
}

// newOwnEngine starts one. Where there is no program for it, or no right to, a test is skipped, or fails where
// TEST_DOCKER=required.
func newOwnEngine(t *testing.T) *ownEngine {
	t.Helper()
	_, err := exec.LookPath("dockerd")
	if missing := err != nil || os.Geteuid() != 0; missing && os.Getenv("TEST_DOCKER") == "required" {
		t.Fatalf("dockerd cannot be started by user %d: %v", os.Geteuid(), err)
	} else if missing {
		t.Skip("it starts an engine of its own, which takes dockerd and root")
	}
	e := &ownEngine{t: t}
	if e.dir, err = os.MkdirTemp("", "engine"); err != nil { // short: sockets are in it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.end(syscall.SIGTERM)
		for syscall.Unmount(e.data(), syscall.MNT_DETACH) == nil { // an engine mounts it on itself, and one that crashed leaves that
		}
		if err := os.RemoveAll(e.dir); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *ownEngine) address() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }
func (e *ownEngine) data() string    { return filepath.Join(e.dir, "data") }

// start starts the engine, which leaves the machine's rules for packets alone: they may be another engine's.
func (e *ownEngine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	e.process = exec.Command("dockerd", "--bridge", "none", "--iptables=false", "--host", e.address(), "--data-root", e.data(),
		"--exec-root", filepath.Join(e.dir, "exec"), "--pidfile", filepath.Join(e.dir, "pid"))
	e.process.Stdout, e.process.Stderr = log, log
	if err := e.process.Start(); err != nil {
		e.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		engine, err := connect(context.Background(), e.address())
		if err == nil {
			engine.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			e.t.Fatalf("%v: %s", err, text[max(0, len(text)-2000):])
		}
	}
}

// end ends the engine, by SIGTERM or as a crash would.
func (e *ownEngine) end(by syscall.Signal) {
	if e.process == nil {
		return
	}
	_ = e.process.Process.Signal(by)
	_ = e.process.Wait() // how it ended is its own matter
	e.process = nil
	if by == syscall.SIGKILL { // its containerd went along; where nobody reaps, the next would take it for alive
		_ = os.Remove(filepath.Join(e.dir, "exec", "containerd", "containerd.pid"))
	}
}
