package localstack

import "syscall"

// attributes put a child into its own process group, and have it stop when we end without having stopped it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
