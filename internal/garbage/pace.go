// Package garbage says how often our long-running programs collect theirs. It decides nothing else, and knows nothing of
// what the programs hold.
package garbage

import (
	"os"
	"runtime/debug"
)

// Pace has the garbage collected after room bytes of it and a part, in percent, of what is in use, unless GOGC says
// otherwise. A heap is a few megabytes: to collect it whenever it doubles costs calls more than it saves. The part is what
// memory costs on top for each listener; a small one has all that listeners hold looked through more often, on the time of
// calls. The pace comes from a ballast that is never touched, and so takes no memory; it must be kept alive
// (runtime.KeepAlive).
func Pace(room, percent int) (ballast []byte) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(percent)
	return make([]byte, room/percent*100)
}
