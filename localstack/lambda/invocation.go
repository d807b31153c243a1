package lambda

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// invocation is one event on its way through an instance.
type invocation struct {
	id, trace string
	payload   []byte
	began     time.Time
	deadline  time.Time
	init      time.Duration // of an instance that was started for it
	timer     *time.Timer   // kills at the deadline
	answers   chan *answer
	delivered bool          // with function.mu: the instance has it
	claimed   bool          // with function.mu: it has been answered, or is being
	over      chan struct{} // closed when the instance has ended before its time
	fate      *failure      // why; before over is closed
}

// answer is what the instance says, while it says it.
type answer struct {
	failure     *failure // its own report of an error, instead of all below
	contentType string
	body        io.Reader
	trailer     func() http.Header // after the body's end
	deadline    time.Time
	received    chan error // with room for one: what the Runtime API tells the instance
}

// failure is an invocation's end without an answer, in the words that Lambda gives a direct caller.
type failure struct {
	Type    string          `json:"errorType"`
	Message string          `json:"errorMessage"`
	Trace   json.RawMessage `json:"stackTrace,omitempty"`
}

// Error implements error.
func (e *failure) Error() string { return e.Type + ": " + e.Message }

// begin starts the time that is billed.
func (inv *invocation) begin(timeout time.Duration) {
	inv.began = time.Now()
	inv.deadline = inv.began.Add(timeout)
}

// invoke runs one invocation and hands its answer to receive, while it comes. It returns errThrottled, a *failure, or
// the error of receive, which must read the whole body.
func (f *function) invoke(payload []byte, trace string, receive func(*answer) error) error {
	in, err := f.acquire()
	if err != nil {
		return err
	}
	inv := &invocation{id: newID(), trace: trace, payload: payload, answers: make(chan *answer), over: make(chan struct{})}
	if in.state == initializing {
		if in, err = f.boot(in, inv); err != nil {
			return err
		}
	}
	if why := in.assign(inv); why != nil {
		return why
	}
	select {
	case a := <-inv.answers:
		if a.failure != nil {
			err = a.failure
		} else {
			err = receive(a)
		}
		in.hasAnswered(err)
		a.received <- err
		return err
	case <-inv.over:
		return inv.fate
	}
}

// boot starts a new instance. If it fails, Lambda starts it once more, in the time of the invocation.
func (f *function) boot(in *instance, inv *invocation) (*instance, error) {
	began := time.Now()
	why := in.initialize(f.initLimit)
	took := time.Since(began)
	if why == nil {
		inv.init = took
		return in, nil
	}
	f.print(fmt.Sprintf("INIT_REPORT Init Duration: %s\tPhase: init\tStatus: error\tError Type: %s", milliseconds(took), why.Type))
	f.charge(took)
	second, err := f.replace(in)
	if err != nil {
		return nil, err
	}
	inv.begin(f.Timeout)
	if why = second.initialize(f.Timeout); why == nil {
		return second, nil
	}
	took = time.Since(inv.began)
	f.print(fmt.Sprintf("INIT_REPORT Init Duration: %s\tPhase: invoke\tStatus: error\tError Type: %s", milliseconds(took), why.Type))
	f.charge(took)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(second)
	f.bill.Invocations++
	f.bill.Failed++
	return nil, why
}

// hasAnswered notes that the instance has only to ask for the next invocation.
func (in *instance) hasAnswered(err error) {
	in.f.mu.Lock()
	defer in.f.mu.Unlock()
	in.state = answered
	if err != nil {
		in.f.bill.Failed++
	}
}

// newID is a UUID of version 4, as Lambda's request ids are.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
