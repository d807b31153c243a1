//go:build !linux

package packages

import "syscall"

// attributes puts an install into a process group of its own. When we are killed it goes on, into a folder that nobody
// uses.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
