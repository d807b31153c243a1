package main

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestFindProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are read from /proc, which only Linux has")
	}
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{"BENCH_TEST_MARK=one"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, env string
		want            int
		found           bool
	}{
		{name: "by program", path: self, want: os.Getpid(), found: true},
		{name: "by variable", env: "BENCH_TEST_MARK=one", want: cmd.Process.Pid, found: true},
		{name: "part of a value", env: "BENCH_TEST_MARK=on", want: cmd.Process.Pid},
		{name: "nothing asked", want: os.Getpid()},
	} {
		got, err := findProcesses(tt.path, tt.env)
		if err != nil || slices.Contains(got, tt.want) != tt.found {
			t.Errorf("%s: %v, %v; process %d among them: want %v", tt.name, got, err, tt.want, tt.found)
		}
	}
}

// used is this process's time on the processor as another call tells it.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestProcessFigures(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time and memory of processes are read on Linux only")
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := used(t); used(t)-began < 30*time.Millisecond; { // and not on the clock: others may have the processor
	}
	after, err := cpuTime(os.Getpid())
	if err != nil || after-before < 10*time.Millisecond || after-before > 10*time.Second {
		t.Errorf("30 ms of work used %v of processor time, %v", after-before, err)
	}
	all, anonymous, err := residentMB(os.Getpid())
	if err != nil || all < 1 || all > 10000 || anonymous <= 0 || anonymous > all {
		t.Errorf("memory of this process: %g MB, %g anonymous, %v", all, anonymous, err)
	}
	if parent, err := parentOf(os.Getpid()); err != nil || parent != os.Getppid() {
		t.Errorf("parent of this process: %d, %v; want %d", parent, err, os.Getppid())
	}
	const none = 1 << 25 // more than the kernel gives
	if _, err := cpuTime(none); err == nil {
		t.Error("processor time of no process")
	}
	if _, err := parentOf(none); err == nil {
		t.Error("parent of no process")
	}
	if _, _, err := residentMB(none); err == nil {
		t.Error("memory of no process")
	}
}
