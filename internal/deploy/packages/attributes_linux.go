package packages

import "syscall"

// attributes puts an install into a process group of its own, and has the kernel kill it when we are killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
