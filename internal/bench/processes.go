package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// findProcesses lists the ids of processes whose program is path, or whose environment holds the variable env
// ("NAME=value"). Processes of others, and those that end while it looks, are passed over.
func findProcesses(path, env string) ([]int, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(folders) == 0 {
		return nil, fmt.Errorf("list processes in /proc: none found (%v)", err)
	}
	var found []int
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}
		program, _ := os.Readlink(filepath.Join(folder, "exe"))
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		if path != "" && program == path || env != "" && bytes.Contains(environment, []byte(env+"\x00")) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// parentOf is the id of the process that started another, as long as that runs.
func parentOf(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("find the parent of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		var parent int
		if _, err := fmt.Sscanf(line, "PPid: %d", &parent); err == nil {
			return parent, nil
		}
	}
	return 0, fmt.Errorf("find the parent of process %d: no PPid", pid)
}

// residentMB is the memory that a process occupies, and the part of it that no file backs, in MB of 10⁶ bytes.
func residentMB(pid int) (all, anonymous float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			all = kib * 1024 / 1e6
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %f kB", &kib); err == nil {
			anonymous = kib * 1024 / 1e6
		}
	}
	if all == 0 {
		return 0, 0, fmt.Errorf("read memory of process %d: no VmRSS", pid)
	}
	return all, anonymous, nil
}
