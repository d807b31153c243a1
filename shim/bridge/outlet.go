package bridge

import (
	"net/http"
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
// for as long as patience allows, and then its answer is cut off.
type outlet struct {
	messages chan message
	cut      func()        // has the write fail that the reader's slowness keeps waiting
	left     chan struct{} // closed when nobody reads any more, or the reader was given up
	leaving  sync.Once
	putting  sync.Mutex // held by who puts: without it a message could come after the rest was taken back
}

// queued is how many messages wait for a reader, beside answers.
const queued = 8

// newOutlet makes the outlet of so many answers. There is room for all, since who sends a batch reads only when all of it
// is sent. w is nil where we are who asked.
func newOutlet(w http.ResponseWriter, answers int) *outlet {
	o := &outlet{messages: make(chan message, queued+answers), left: make(chan struct{}), cut: func() {}}
	if w != nil {
		ctl := http.NewResponseController(w)
		o.cut = func() { _ = ctl.SetWriteDeadline(time.Now()) } // where the server has deadlines
	}
	return o
}

// put hands a message over. It is false where the reader left or was given up.
func (o *outlet) put(m message, patience time.Duration) bool {
	o.putting.Lock()
	defer o.putting.Unlock()
	select {
	case <-o.left:
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
		// Not after the reader left: its connection may serve another request by then.
		o.leaving.Do(func() { o.cut(); close(o.left) })
	}
	return false
}

// leave says that nobody reads any more.
func (o *outlet) leave() { o.leaving.Do(func() { close(o.left) }) }

// rest returns what nobody read, once nothing can come any more.
func (o *outlet) rest() (lines [][]byte) {
	o.leave()
	o.putting.Lock()
	defer o.putting.Unlock()
	for {
		select {
		case m := <-o.messages:
			lines = append(lines, m.line)
		default:
			return lines
		}
	}
}
