// Package garbage says how often our long-running programs collect theirs. It decides nothing else, and knows nothing of
// what the programs hold.
package garbage

import (
	"os"
	"runtime/debug"
)

// Pace has the garbage collected after every 16 MB and a tenth of what is in use, unless GOGC says otherwise. A heap is a
// few megabytes: to collect it whenever it doubles costs calls more than it saves. To let it grow fivefold instead would
// have each listener cost five times what it holds. The pace comes from a ballast that is never touched, and so takes no
// memory; it must be kept alive (runtime.KeepAlive).
func Pace() (ballast []byte) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(10)
	return make([]byte, 160<<20)
}
