package bridge

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// groupAttributes puts a child into its own process group, and has the kernel kill it when we are killed.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitGroup waits for the program and kills what is left of its group. before is called while the program's number still
// is its own: it must not be reaped earlier, or a signal could reach another's group.
func waitGroup(cmd *exec.Cmd, before func()) error {
	for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	before()
	return cmd.Wait()
}
