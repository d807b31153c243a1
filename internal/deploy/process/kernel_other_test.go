//go:build unix && !linux

package process

import "syscall"

func environ(int) []string { return nil }

func ignoredSignals(int) uint64 { return 0 }

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func strayProcesses(string) []string { return nil }
