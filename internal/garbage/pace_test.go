package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// What may become garbage before it is collected hardly grows with what is in use.
func TestPace(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	ballast := Pace()
	const inUse = 64 << 20
	held := make([]byte, inUse)
	runtime.GC()
	sizes := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sizes)
	if room := sizes[0].Value.Uint64() - sizes[1].Value.Uint64(); room < 16<<20 || room > 16<<20+inUse/8 {
		t.Errorf("%d MB in use, collected after %d MB", inUse>>20, room>>20)
	}
	runtime.KeepAlive(held)
	runtime.KeepAlive(ballast)
}

func TestGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "300")
	before := debug.SetGCPercent(300)
	defer debug.SetGCPercent(before)
	if Pace() != nil || debug.SetGCPercent(300) != 300 {
		t.Error("the operator's GOGC is not heeded")
	}
}
