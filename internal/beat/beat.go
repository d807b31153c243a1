// Package beat lets timers of many streams end in common moments. A timer that ends alone wakes a thread, which costs more
// than what most of them do: 2,000 that end every ten seconds take as much of a processor as a hundred calls a second.
//
// It holds no timers: it only says when they should end.
package beat

import "time"

// Within is the longest time that is no more than d and ends with one of the moments that lie every apart, for all who
// ask. d must be longer than every.
func Within(d, every time.Duration) time.Duration {
	return d - time.Duration((time.Now().UnixNano()+int64(d))%int64(max(every, 1)))
}
