package bridge

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"mcpgateway/internal/procgroup"
)

// A child that has ended is no orphan: its status is for who waits for it.
func TestTidyLeavesChildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives orphans to us")
	}
	group, err := procgroup.Start(exec.Command("true"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool {
		return slices.ContainsFunc(procgroup.ReadTree()[os.Getpid()], func(p procgroup.Process) bool { return p.PID == group.PID() && p.Ended })
	})
	p := newPipe(&process{group: group, exited: make(chan struct{})}, use{})
	s := starts{alive: map[*pipe]struct{}{p: {}}}
	s.tidy()
	if err := group.Wait(); err != nil {
		t.Errorf("its status is lost: %v", err)
	}
}
