// Package clock is the time as our programs tell it.
package clock

import "time"

// Wall is the time without the clock that stands still when the machine does: tokens, keys and what is kept grow old while a
// function is frozen between two requests.
func Wall() time.Time { return time.Now().Round(0) }
