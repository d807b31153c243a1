package docker

import (
	"context"
	"net"
	"net/netip"
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
		e.removeBridges()
		for syscall.Unmount(e.data(), syscall.MNT_DETACH) == nil { // an engine mounts it on itself, and one that crashed leaves that
		}
		if err := os.RemoveAll(e.dir); err != nil {
			t.Error(err)
		}
	})
	return e
}

// pool is where the addresses of an own engine's networks are from: it takes none of another engine's, and its bridges are told by them.
const pool = "10.213.0.0/16"

// removeBridges removes those that the engine left: one that ends leaves them, and so does a network that did not fit on its disk.
func (e *ownEngine) removeBridges() {
	e.t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		e.t.Error(err)
	}
	ours := netip.MustParsePrefix(pool)
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err != nil || !ours.Contains(p.Addr()) {
				continue
			}
			if out, err := exec.Command("ip", "link", "delete", i.Name).CombinedOutput(); err != nil {
				e.t.Errorf("bridge %s is left: %v: %s", i.Name, err, out)
			}
		}
	}
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
	e.process = exec.Command("dockerd", "--bridge", "none", "--iptables=false", "--default-address-pool", "base="+pool+",size=24", "--host", e.address(), "--data-root", e.data(),
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
