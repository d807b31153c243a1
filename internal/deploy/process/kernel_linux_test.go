package process

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/procgroup"
)

// environ is the environment that a process was started with.
func environ(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.Trim(string(text), "\x00"), "\x00")
}

// ignoredSignals is the mask of signals that a process ignores, the lowest bit for signal 1.
func ignoredSignals(pid int) uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\nSigIgn:\t")
	mask, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseUint(mask, 16, 64)
	return n
}

// runs reports whether a process has not ended. One that nobody has waited for yet has.
func runs(pid int) bool {
	return slices.ContainsFunc(procgroup.All(), func(p procgroup.Process) bool { return p.PID == pid && !p.Ended })
}

// strayProcesses lists the processes that have something of a folder in their environment: units have.
func strayProcesses(dir string) []string {
	var list []string
	for _, p := range procgroup.All() {
		if strings.Contains(strings.Join(environ(p.PID), " "), dir) {
			list = append(list, fmt.Sprint(p.PID))
		}
	}
	return list
}

// TestSignalOfFreedNumber gives a unit that was waited for the number of somebody else's group.
func TestSignalOfFreedNumber(t *testing.T) {
	out, err := exec.Command("sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(-pid, 0) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has no group of its own")
		}
	}
	s := new(supervisor)
	if s.signal(&unit{pid: pid, reaped: true}, syscall.SIGKILL) {
		t.Error("somebody else was found")
	}
	if !runs(pid) {
		t.Fatal("somebody else was killed")
	}
	if !s.signal(&unit{pid: pid}, syscall.SIGKILL) {
		t.Error("a unit was not found")
	}
	gone(t, pid)
}
