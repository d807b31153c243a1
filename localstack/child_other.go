//go:build unix && !linux

package localstack

import "syscall"

// attributes put a child into its own process group. Where the kernel cannot end it with us, it stays if we are killed.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
