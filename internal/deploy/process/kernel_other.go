//go:build unix && !linux

package process

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootID is not known.
func bootID() string { return "" }

// resident is not known.
func resident(supervisors []int) []int64 { return make([]int64, len(supervisors)) }

// holdListeners is not known: taken for granted.
func holdListeners(supervisorRecord, []int) bool { return true }

// sweep kills the process groups that a killed supervisor left, where their leader is still in its session. It reports
// whether they are gone.
func sweep(_ string, r supervisorRecord) bool {
	for range 200 {
		left := false
		for _, group := range r.Groups {
			if session, err := unix.Getsid(group); err == nil && session == r.PID {
				_ = syscall.Kill(-group, syscall.SIGKILL)
				left = true
			}
		}
		if !left {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
