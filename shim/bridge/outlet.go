package bridge

import (
	"sync"
	"time"
)

// message is one message on its way to a caller, with the caller's own labels.
type message struct {
	line   []byte
	of     *exchange // the request that it answers; nil where it is none's answer
	failed int       // the code of an error response
}

// outlet is where one HTTP answer takes its messages from. It holds few: a caller that reads slowly holds the child back,
// for as long as patience allows.
type outlet struct {
	messages chan message
	left     chan struct{} // closed when nobody reads any more
	slow     chan struct{} // closed when the reader was too slow, and was given up

	leaving, slowing sync.Once
}

// queued is how many messages wait for a reader.
const queued = 8

func newOutlet() *outlet {
	return &outlet{messages: make(chan message, queued), left: make(chan struct{}), slow: make(chan struct{})}
}

// put hands a message over. It is false where the reader left or was given up.
func (o *outlet) put(m message, patience time.Duration) bool {
	select {
	case <-o.left:
		return false
	case <-o.slow:
		return false
	default:
	}
	select {
	case o.messages <- m:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o.messages <- m:
		return true
	case <-o.left:
	case <-timer.C:
		o.slowing.Do(func() { close(o.slow) })
	}
	return false
}

// leave says that nobody reads any more.
func (o *outlet) leave() { o.leaving.Do(func() { close(o.left) }) }
