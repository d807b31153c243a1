package wake

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle atomic.Int32
		c := NewCounter(time.Minute, 0, func() { idle.Add(1) })
		begin := func() func() { return c.Begin() }
		expect := func(want int32, when string) {
			t.Helper()
			synctest.Wait()
			if got := idle.Load(); got != want {
				t.Fatalf("%s: idle %d times, want %d", when, got, want)
			}
		}
		time.Sleep(59 * time.Second)
		one := begin()
		two := begin()
		time.Sleep(time.Hour)
		expect(0, "during two calls")
		one()
		one()
		time.Sleep(time.Hour)
		expect(0, "during one call, the other ended twice")
		two()
		time.Sleep(59 * time.Second)
		expect(0, "just before")
		begin()()
		time.Sleep(59 * time.Second)
		expect(0, "after a short call")
		time.Sleep(2 * time.Second)
		expect(1, "in the end")
		begin()()
		time.Sleep(time.Hour)
		expect(1, "after a call that came too late")
	})
}

func TestCounterNeverUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle atomic.Int32
		NewCounter(time.Minute, 0, func() { idle.Add(1) })
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if idle.Load() != 1 {
			t.Error("a server that nobody called never sleeps")
		}
	})
}

func TestCounterWithoutIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter(0, 0, func() { t.Error("idle") })
		c.Begin()()
		time.Sleep(time.Hour)
		synctest.Wait()
	})
}

// A start that takes longer than the idle time must not end in sleep.
func TestCounterWaitsForTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		ready []time.Duration // after the start
		want  time.Duration   // when it is idle, a minute after it was ready
	}{
		"slow":  {[]time.Duration{5 * time.Minute}, 6 * time.Minute},
		"quick": {[]time.Duration{time.Second}, 61 * time.Second},
		"twice": {[]time.Duration{time.Second, 30 * time.Second}, 61 * time.Second},
		"never": {nil, 11 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			idle := make(chan time.Duration, 1)
			counter := NewCounter(time.Minute, 10*time.Minute, func() { idle <- time.Since(began) })
			for _, at := range c.ready {
				time.Sleep(at - time.Since(began))
				counter.Ready()
			}
			if got := <-idle; got != c.want {
				t.Errorf("%s: idle after %v, want %v", name, got, c.want)
			}
		})
	}
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter(0, 0, nil)
		end := c.Begin()
		time.Sleep(time.Hour)
		if !c.Busy(time.Second) {
			t.Error("not busy during a call")
		}
		end()
		time.Sleep(9 * time.Second)
		if !c.Busy(10*time.Second) || c.Busy(5*time.Second) {
			t.Error("the call of 9 s ago is not within 10 s, or within 5 s")
		}
	})
}
