//go:build unix && !linux

package procgroup

import (
	"errors"
	"sync"
	"syscall"
)

// Attributes puts a program into its own group. Nothing ends it when we are killed.
func Attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// AdoptOrphans does nothing: only Linux has subreapers. Who leaves the group and loses its parent escapes.
func AdoptOrphans() error { return nil }

// RenouncePrivileges is for Linux.
func RenouncePrivileges() error { return errors.ErrUnsupported }

// Wait waits for the program's end and kills what is left of its group. Its number may be another's by then, which only
// Linux can rule out. The error is that of exec.Cmd.Wait.
func (g *Group) Wait() error {
	err := g.cmd.Wait()
	g.end()
	return err
}

// WaitAny waits for the end of any child. For a moment before took is called its number may be another's.
func WaitAny(lock sync.Locker, took func(pid int, status syscall.WaitStatus)) error {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, 0, nil)
	if errors.Is(err, syscall.EINTR) {
		return nil
	}
	if err == nil {
		lock.Lock()
		defer lock.Unlock()
		took(pid, status)
	}
	return err
}

// SignalRest sends a signal to what is left of a group whose program was waited for. Where nobody is left, and the number
// was given away, it reaches another's.
func SignalRest(group int, sig syscall.Signal) (found bool) { return syscall.Kill(-group, sig) == nil }

// All is not known.
func All() []Process { return nil }
