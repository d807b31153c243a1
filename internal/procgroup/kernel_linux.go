package procgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attributes puts a program into its own group, and has the kernel kill it when the thread that started it ends.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// RenouncePrivileges has no program that this thread starts gain rights by being started, whatever a file's set-user-ID bit
// or capabilities say (prctl(2), PR_SET_NO_NEW_PRIVS). The caller must have locked the thread.
func RenouncePrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce new privileges: %w", err)
	}
	return nil
}

// AdoptOrphans makes us the parent of descendants whose own parent ended, so that none gets lost. They must be waited for.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

// Wait waits for the program's end and kills what is left of its group, while its number still is its own. The error is
// that of exec.Cmd.Wait.
func (g *Group) Wait() error {
	for errors.Is(unix.Waitid(unix.P_PID, g.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	g.end()
	return g.cmd.Wait()
}

// WaitAny waits for the end of any child, and frees its number only while it holds the lock, under which took is called.
// Whoever signals under the lock so never signals another process.
func WaitAny(lock sync.Locker, took func(pid int, status syscall.WaitStatus)) error {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
	lock.Lock()
	defer lock.Unlock()
	var status syscall.WaitStatus
	pid := 0
	if err == nil {
		pid, err = syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	}
	if pid > 0 {
		took(pid, status)
	}
	if errors.Is(err, syscall.EINTR) {
		return nil
	}
	return err
}

// SignalRest sends a signal to what is left of a group whose program was waited for: to our descendants that are still in
// it, one by one.
func SignalRest(group int, sig syscall.Signal) (found bool) {
	for _, p := range ReadTree().Descendants(os.Getpid()) {
		if p.Group == group && !p.Ended {
			found = syscall.Kill(p.PID, sig) == nil || found
		}
	}
	return found
}

// All lists the processes.
func All() []Process {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	var list []Process
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		if p, ok := ParseStat(text); ok {
			list = append(list, p)
		}
	}
	return list
}

// ParseStat reads /proc/<pid>/stat, see proc_pid_stat(5). The program's name stands in parentheses and may hold any byte,
// more of them too.
func ParseStat(text []byte) (Process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 4 {
		return Process{}, false
	}
	p := Process{Ended: fields[0] == "Z" || fields[0] == "X"}
	for _, f := range []struct {
		to   *int
		text string
	}{{&p.PID, strings.TrimSpace(string(text[:open]))}, {&p.Parent, fields[1]}, {&p.Group, fields[2]}, {&p.Session, fields[3]}} {
		n, err := strconv.Atoi(f.text)
		if err != nil {
			return Process{}, false
		}
		*f.to = n
	}
	return p, true
}
