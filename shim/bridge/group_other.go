//go:build unix && !linux

package bridge

import (
	"os/exec"
	"syscall"
)

// groupAttributes puts a child into its own process group. Where the kernel cannot end it with us, it ends by itself when
// its input does.
func groupAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// waitGroup waits for the program and kills what is left of its group. Its number may be another's by then, which only
// Linux can rule out.
func waitGroup(cmd *exec.Cmd, before func()) error {
	err := cmd.Wait()
	before()
	return err
}
