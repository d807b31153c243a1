package measure

import (
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// newPacer makes a function that waits until a time. time.Sleep can be a millisecond late when a program is idle, as
// much as what is measured. release gives the thread back.
func newPacer() (wait func(time.Time), release func()) {
	runtime.LockOSThread()
	// The kernel may otherwise add 50 µs to each sleep. It is only less exact where this is refused.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	wait = func(until time.Time) {
		for d := time.Until(until); d > 0; d = time.Until(until) {
			t := unix.NsecToTimespec(int64(d))
			if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil); err != nil && !errors.Is(err, unix.EINTR) {
				panic(os.NewSyscallError("clock_nanosleep", err))
			}
		}
	}
	return wait, runtime.UnlockOSThread
}
