package exchange

import "time"

// instant is a point in time by two clocks. The wall clock may jump; the other runs evenly, but stands still while the
// machine sleeps. What is kept until a deadline is kept only while neither has reached it.
type instant struct {
	wall time.Time
	run  time.Duration
}

// newClock reads both clocks.
func newClock() func() instant {
	start := time.Now()
	return func() instant {
		now := time.Now()
		return instant{wall: now.Round(0), run: now.Sub(start)} // Round drops the even clock's reading
	}
}

// in is the instant after a time.
func (i instant) in(d time.Duration) instant { return instant{i.wall.Add(d), i.run + d} }

// reached tells whether a deadline is over by any clock.
func (i instant) reached(deadline instant) bool {
	return !i.wall.Before(deadline.wall) || i.run >= deadline.run
}
