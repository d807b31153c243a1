package bridge

import (
	"testing"
	"testing/synctest"
	"time"
)

// All who wait hear the same tick, each is a fifth of the time after the first asked, and none comes unasked.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock{waiting: 5 * time.Second}
		for range 3 {
			first := c.next()
			began := time.Now()
			time.Sleep(300 * time.Millisecond)
			if c.next() != first {
				t.Fatal("a second waiter has a tick of its own")
			}
			<-first
			if after := time.Since(began); after != time.Second {
				t.Fatalf("it ticked after %s", after)
			}
			time.Sleep(time.Hour) // a tick that nobody asked for would close what is closed
		}
	})
}
