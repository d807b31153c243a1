package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// What may become garbage before it is collected is little, and grows with what is in use as was asked for.
func TestPace(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for percent, room := range map[int]int{10: 48 << 20, 400: 16 << 20} {
		ballast := Pace(room, percent)
		const inUse = 64 << 20
		held := make([]byte, inUse)
		runtime.GC()
		sizes := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
		metrics.Read(sizes)
		got, want := int(sizes[0].Value.Uint64()-sizes[1].Value.Uint64()), room+inUse*percent/100
		if got < want-want/50 || got > want+want/10 { // stacks and globals count as well
			t.Errorf("%d %%: %d MB in use, collected after %d MB, want %d", percent, inUse>>20, got>>20, want>>20)
		}
		runtime.KeepAlive(held)
		runtime.KeepAlive(ballast)
	}
}

func TestGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "300")
	before := debug.SetGCPercent(300)
	defer debug.SetGCPercent(before)
	if Pace(1<<20, 10) != nil || debug.SetGCPercent(300) != 300 {
		t.Error("the operator's GOGC is not heeded")
	}
}
