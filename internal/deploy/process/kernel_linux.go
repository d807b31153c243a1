package process

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"mcpgateway/internal/procgroup"
)

// bootID changes with every boot: process ids of an earlier one mean nothing.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
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
	for _, p := range procgroup.All() {
		if isStray(p, id, r) {
			list = append(list, p.PID)
		}
	}
	return list
}

func isStray(p procgroup.Process, id string, r supervisorRecord) bool {
	if p.Ended {
		return false
	}
	environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if string(variable) == markerVariable+"="+id {
			return true
		}
	}
	if p.Session != r.PID || r.Boot == "" || r.Boot != bootID() {
		return false
	}
	for _, group := range r.Groups {
		if p.Group == group {
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
	if p, ok := procgroup.ParseStat(text); ok && isStray(p, id, r) {
		_ = handle.Kill()
	}
}
