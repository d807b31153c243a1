package beat

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// A thousand timers that were set at any time, for any time, end in few moments, and none too late.
func TestTimersEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 100 * time.Millisecond
		moments := map[time.Time]int{}
		for range 1000 {
			time.Sleep(rand.N(time.Millisecond))
			d := 10*time.Second + rand.N(time.Second)
			within := Within(d, every)
			if within > d || within <= d-every {
				t.Fatalf("%v became %v", d, within)
			}
			moments[time.Now().Add(within).Round(0)]++
		}
		if len(moments) > 17 { // a second and a half, and the last
			t.Errorf("%d moments", len(moments))
		}
	})
}

func TestNoBeat(t *testing.T) {
	if got := Within(time.Second, 0); got != time.Second {
		t.Errorf("a second became %v", got)
	}
}
