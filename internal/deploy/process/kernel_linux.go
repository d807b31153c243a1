package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes us the parent of descendants whose own parent ended, so that none gets lost.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

// unitAttributes puts a unit into its own process group, and has the kernel kill it when the supervisor is killed.
func unitAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// bootID changes with every boot: process ids of an earlier one mean nothing.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// processStat is what /proc/<pid>/stat says of a process.
type processStat struct{ pid, parent, group, session int }

// running lists the processes that are not yet dead.
func running() []processStat {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	var list []processStat
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		if p, ok := parseStat(text); ok {
			list = append(list, p)
		}
	}
	return list
}

// parseStat reads proc_pid_stat(5). The program's name stands in parentheses and may hold any byte, more of them too.
func parseStat(text []byte) (processStat, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return processStat{}, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 4 || fields[0] == "Z" || fields[0] == "X" {
		return processStat{}, false
	}
	var p processStat
	for _, f := range []struct {
		to   *int
		text string
	}{{&p.pid, strings.TrimSpace(string(text[:open]))}, {&p.parent, fields[1]}, {&p.group, fields[2]}, {&p.session, fields[3]}} {
		n, err := strconv.Atoi(f.text)
		if err != nil {
			return processStat{}, false
		}
		*f.to = n
	}
	return p, true
}

// descendants lists the children of a process, and theirs.
func descendants(of int) []int { return allChildren().descendants(of) }

// children are the processes of the machine by their parents.
type children map[int][]int

func allChildren() children {
	c := children{}
	for _, p := range running() {
		c[p.parent] = append(c[p.parent], p.pid)
	}
	return c
}

func (c children) descendants(of int) []int {
	list := slices.Clone(c[of])
	for i := 0; i < len(list); i++ {
		list = append(list, c[list[i]]...)
	}
	return list
}

// sweep kills what a killed supervisor left: everything that carries the group's name in its environment, and what is
// still in one of its process groups and in its session. It reports whether all of it is gone.
func sweep(id string, r supervisorRecord) bool {
	for range 200 {
		found := strays(id, r)
		if len(found) == 0 {
			return true
		}
		for _, pid := range found {
			killStray(pid, id, r)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

func strays(id string, r supervisorRecord) []int {
	var list []int
	for _, p := range running() {
		if isStray(p, id, r) {
			list = append(list, p.pid)
		}
	}
	return list
}

func isStray(p processStat, id string, r supervisorRecord) bool {
	environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if string(variable) == markerVariable+"="+id {
			return true
		}
	}
	if p.session != r.PID || r.Boot == "" || r.Boot != bootID() {
		return false
	}
	for _, group := range r.Groups {
		if p.group == group {
			return true
		}
	}
	return false
}

// killStray looks again once the process is held by a handle, lest its number has become another's.
func killStray(pid int, id string, r supervisorRecord) {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return
	}
	if p, ok := parseStat(text); ok && isStray(p, id, r) {
		_ = handle.Kill()
	}
}
