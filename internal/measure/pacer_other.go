//go:build !linux

package measure

import "time"

func newPacer() (wait func(time.Time), release func()) {
	return func(until time.Time) { time.Sleep(time.Until(until)) }, func() {}
}
