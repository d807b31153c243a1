// Package procgroup runs programs in process groups of their own, and ends the groups whole, whoever of them is left.
//
// A group has the number of the program that it began with. Once that has been waited for, the kernel may give the number
// away, and a signal to the group would reach another's: all here is about not sending that one. On Linux it also finds
// processes that left the group; elsewhere they escape.
package procgroup

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Group is a program that runs, with all that it started and that stayed in its group.
type Group struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	gone bool // the number is no longer the group's
}

// Start starts the program in a group of its own. On Linux the kernel kills the program with the thread that started it.
func Start(cmd *exec.Cmd) (*Group, error) {
	g := &Group{cmd: cmd}
	cmd.SysProcAttr = Attributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return g, nil
}

// Owned are Attributes of a program that runs as another user, in the group of that number and no other.
func Owned(user uint32) *syscall.SysProcAttr {
	a := Attributes()
	a.Credential = &syscall.Credential{Uid: user, Gid: user}
	return a
}

// PID is the program's number, and the group's.
func (g *Group) PID() int { return g.cmd.Process.Pid }

// Signal reaches all who are in the group. After Wait has returned it does nothing.
func (g *Group) Signal(sig syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = syscall.Kill(-g.PID(), sig) // all may be dead
	}
}

// end kills what is left of the group, for the last time.
func (g *Group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = syscall.Kill(-g.PID(), syscall.SIGKILL) // mostly nobody is left
	g.gone = true
}

// Leavers are the program's descendants that left its group, as handles to kill them by, which no other process is
// reached by. Those whose own parent ended are nobody's descendants any more; see AdoptOrphans.
func (g *Group) Leavers() []*os.Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return nil
	}
	handles := map[int]*os.Process{}
	for _, p := range g.descendants() {
		if handle, err := os.FindProcess(p); err == nil {
			handles[p] = handle
		}
	}
	// Whose number is still a descendant's now that it is held is the one who was found.
	var leavers []*os.Process
	for _, p := range g.descendants() {
		if handle := handles[p]; handle != nil {
			leavers = append(leavers, handle)
			delete(handles, p)
		}
	}
	for _, handle := range handles {
		_ = handle.Release()
	}
	return leavers
}

// descendants are those outside the group.
func (g *Group) descendants() []int {
	var list []int
	for _, p := range ReadTree().Descendants(g.PID()) {
		if p.Group != g.PID() && !p.Ended {
			list = append(list, p.PID)
		}
	}
	return list
}
