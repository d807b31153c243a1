package procgroup

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// find returns a process; none where it is gone and was waited for.
func find(pid int) (Process, bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Process) bool { return p.PID == pid })
	if i < 0 {
		return Process{}, false
	}
	return all[i], true
}

// runs does not count one that has ended.
func runs(pid int) bool {
	p, ok := find(pid)
	return ok && !p.Ended
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// shell is a shell that prints a process number.
func shell(ctx context.Context, script string) (cmd *exec.Cmd, printed func(t *testing.T) int) {
	cmd = exec.CommandContext(ctx, "sh", "-c", script)
	var mu sync.Mutex
	var out bytes.Buffer
	cmd.Stdout = writer(func(b []byte) { mu.Lock(); defer mu.Unlock(); out.Write(b) })
	cmd.WaitDelay = 10 * time.Second
	return cmd, func(t *testing.T) (pid int) {
		t.Helper()
		eventually(t, "the shell tells", func() bool {
			mu.Lock()
			defer mu.Unlock()
			pid, _ = strconv.Atoi(strings.TrimSpace(out.String()))
			return pid != 0
		})
		return pid
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// What a program leaves in its group ends with it, also where a context ends it.
func TestGroupEndsWhole(t *testing.T) {
	for name, script := range map[string]string{"by itself": "sleep 300 & echo $!", "by its context": "sleep 300 & echo $!; wait"} {
		ctx, end := context.WithCancel(t.Context())
		cmd, printed := shell(ctx, script)
		g, err := Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); _ = g.Wait() }()
		pid := printed(t)
		if name == "by its context" {
			end()
		}
		<-done
		eventually(t, name+": the other one is gone", func() bool { return !runs(pid) })
		end()
	}
}

// The number of a group stays its own until the last signal is sent, and from then on none is.
func TestNumberIsKept(t *testing.T) {
	g, err := Start(exec.Command("true"))
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	eventually(t, "it has ended", func() bool { return !runs(g.PID()) })
	time.Sleep(20 * time.Millisecond) // for one who frees it too early
	if _, ok := find(g.PID()); !ok {
		t.Error("its number was freed before the last signal")
	}
	g.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, ok := find(g.PID()); ok {
		t.Error("it was not waited for")
	}
	cmd, printed := shell(t.Context(), "setsid sleep 300 >/dev/null & echo $!; wait")
	other, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	left := printed(t)
	eventually(t, "one has left", func() bool { p, _ := find(left); return p.Group == left })
	g.cmd = cmd // as if the kernel had given the number away
	g.Signal(syscall.SIGKILL)
	if leavers := g.Leavers(); leavers != nil {
		t.Errorf("another's children: %v", leavers)
	}
	time.Sleep(20 * time.Millisecond)
	if !runs(other.PID()) {
		t.Error("a signal reached another's group")
	}
	other.Signal(syscall.SIGKILL)
	if err := other.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if err := syscall.Kill(left, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// Who left the group is found, and nobody who is in it.
func TestLeavers(t *testing.T) {
	cmd, printed := shell(t.Context(), "sleep 300 & setsid sleep 300 >/dev/null & echo $!; wait")
	g, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	pid := printed(t)
	eventually(t, "one has left", func() bool { p, _ := find(pid); return p.Group == pid })
	leavers := g.Leavers()
	if len(leavers) != 1 || leavers[0].Pid != pid {
		t.Errorf("found %v, want %d", leavers, pid)
	}
	g.Signal(syscall.SIGKILL)
	_ = g.Wait() // it was killed
	for _, p := range leavers {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "it is gone", func() bool { return !runs(pid) })
}

// A child's number is freed under the lock only.
func TestWaitAny(t *testing.T) {
	cmd := exec.Command("true")
	cmd.SysProcAttr = Attributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	t.Cleanup(func() { _ = cmd.Process.Release() })
	var lock sync.Mutex
	lock.Lock()
	took := make(chan int, 1)
	done := make(chan error, 1)
	go func() {
		done <- WaitAny(&lock, func(pid int, status syscall.WaitStatus) {
			if lock.TryLock() || !status.Exited() {
				t.Error("without the lock, or of none that ended")
			}
			took <- pid
		})
	}()
	eventually(t, "it has ended", func() bool { return !runs(pid) })
	time.Sleep(20 * time.Millisecond) // for one who frees it too early
	if _, ok := find(pid); !ok {
		t.Error("its number was freed without the lock")
	}
	lock.Unlock()
	if err := <-done; err != nil || <-took != pid {
		t.Errorf("another ended: %v", err)
	}
	if err := WaitAny(&lock, func(int, syscall.WaitStatus) { t.Error("nobody ended") }); err == nil {
		t.Error("it waits for nobody")
	}
}

// What is left of a group is signalled as long as it is of our descendants, and nobody else is.
func TestSignalRest(t *testing.T) {
	cmd, printed := shell(t.Context(), "sleep 300 >/dev/null & echo $!")
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // or the orphans of other tests would be ours
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
	cmd.SysProcAttr = Attributes()
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	group, rest := cmd.Process.Pid, printed(t)
	if SignalRest(syscall.Getpgrp(), 0) {
		t.Error("our own group is not of our descendants")
	}
	if !SignalRest(group, 0) || !runs(rest) {
		t.Fatal("nobody is left")
	}
	if !SignalRest(group, syscall.SIGKILL) {
		t.Error("it was not found")
	}
	eventually(t, "it has ended", func() bool { return !runs(rest) })
	if SignalRest(group, 0) {
		t.Error("who has ended is not left")
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(rest, &status, 0, nil); pid != rest {
		t.Errorf("%d, %v: it is not ours", pid, err)
	}
}
