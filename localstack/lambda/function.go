package lambda

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Function is a function as one would create it on Lambda.
type Function struct {
	// Name is the function's, and what Bill and the Invoke API call it by.
	Name string
	// Program is the executable that Lambda calls bootstrap.
	Program string
	// Env is added to what Lambda sets: at most 4 KB, and no names that Lambda keeps for itself.
	Env map[string]string
	// Memory in MB is told to the program, not enforced: 128 where 0.
	Memory int
	// Timeout is for one invocation: 3 s where 0, at most 15 min.
	Timeout time.Duration
	// Concurrency is how many invocations may run at a time: 1000 where 0.
	Concurrency int
	// MayInvoke names the functions that its credentials may invoke.
	MayInvoke []string
	// Schedule invokes it, asynchronously.
	Schedule Schedule
	// Log gets what its instances print and a REPORT for each invocation, a line at a time; os.Stderr where nil.
	Log io.Writer
}

// Schedule is a rate at which a function is invoked, at first at once. None where zero.
type Schedule struct {
	Every   time.Duration
	Payload []byte // {} where empty
}

var (
	functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// reservedEnv are set by Lambda, and cannot be set for a function. AWS_ENDPOINT_URL_LAMBDA is ours.
	reservedEnv = regexp.MustCompile(`^(_HANDLER|_X_AMZN_TRACE_ID|AWS_(DEFAULT_)?REGION|AWS_EXECUTION_ENV|AWS_LAMBDA_.*|` +
		`AWS_ACCESS_KEY.*|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_ENDPOINT_URL_LAMBDA|LAMBDA_TASK_ROOT|LAMBDA_RUNTIME_DIR)$`)
)

const (
	maxEnv     = 4 << 10
	maxTimeout = 15 * time.Minute
)

// turnaround is how long at most a new invocation waits for an instance that has answered and not yet asked for the next:
// on AWS the client's way is longer than the instance's, and who calls one after the other does not meet a second instance.
const turnaround = 500 * time.Millisecond

var (
	errThrottled = errors.New("concurrency limit reached")
	errClosed    = errors.New("front is closed")
)

// function is a Function with its instances.
type function struct {
	Function
	initLimit time.Duration
	invokeAPI string
	keys      roleKeys
	lines     sync.Mutex // one line at a time into Log

	mu        sync.Mutex
	instances map[*instance]bool // all that have not ended; those that are not idle count as concurrency
	idle      []*instance        // the one used last is used next
	freed     chan struct{}      // closed when an instance has become idle or has ended
	bill      Bill               // without what runs
	closed    bool
	ended     sync.WaitGroup // for each instance
}

func newFunction(described Function, initLimit time.Duration) (*function, error) {
	f := &function{Function: described, initLimit: initLimit, keys: newRoleKeys(),
		instances: map[*instance]bool{}, freed: make(chan struct{})}
	if f.Log == nil {
		f.Log = os.Stderr
	}
	if f.Memory == 0 {
		f.Memory = 128
	}
	if f.Timeout == 0 {
		f.Timeout = 3 * time.Second
	}
	if f.Concurrency == 0 {
		f.Concurrency = 1000
	}
	if len(f.Schedule.Payload) == 0 {
		f.Schedule.Payload = []byte("{}")
	}
	return f, f.check()
}

// check tells all that Lambda would refuse.
func (f *function) check() error {
	var problems []error
	problem := func(format string, values ...any) {
		problems = append(problems, fmt.Errorf("function %s: "+format, append([]any{f.Name}, values...)...))
	}
	if !functionName.MatchString(f.Name) {
		problem("the name must be 1 to 64 letters, digits, - and _")
	}
	if path, err := filepath.Abs(f.Program); err != nil {
		problem("%w", err)
	} else if info, err := os.Stat(path); err != nil {
		problem("program: %w", err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		problem("program %s cannot be executed", path)
	} else {
		f.Program = path
	}
	if f.Timeout < 0 || f.Timeout > maxTimeout {
		problem("timeout %v is not within 15 min", f.Timeout)
	}
	if f.Memory < 128 || f.Memory > 10240 {
		problem("memory %d MB is not within 128 and 10240", f.Memory)
	}
	size := 0
	for name, value := range f.Env {
		size += len(name) + len(value)
		if reservedEnv.MatchString(name) {
			problem("environment: %s is Lambda's own", name)
		}
		if strings.ContainsAny(name+value, "\x00") || strings.ContainsAny(name, "=") || name == "" {
			problem("environment: %q is no variable", name)
		}
	}
	if size > maxEnv {
		problem("environment: %d bytes, at most %d", size, maxEnv)
	}
	return errors.Join(problems...)
}

// acquire finds an idle instance, or makes a new one that has not been started, where the limit allows it.
func (f *function) acquire() (*instance, error) {
	patience := time.NewTimer(turnaround)
	defer patience.Stop()
	for waited := false; ; {
		in, freed, err := f.take(waited)
		if in != nil || err != nil {
			return in, err
		}
		select {
		case <-freed:
		case <-patience.C:
			waited = true
		}
	}
}

// take returns a channel instead of an instance where it pays to wait for it.
func (f *function) take(waited bool) (*instance, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, errClosed
	}
	if last := len(f.idle) - 1; last >= 0 {
		in := f.idle[last]
		f.idle = f.idle[:last]
		in.state = busy
		return in, nil, nil
	}
	if !waited && f.returning() {
		return nil, f.freed, nil
	}
	if len(f.instances) >= f.Concurrency {
		f.bill.Throttled++
		return nil, nil, errThrottled
	}
	return f.add(), nil, nil
}

// returning says whether an instance is about to be idle. f.mu is held.
func (f *function) returning() bool {
	for in := range f.instances {
		if in.state == answered {
			return true
		}
	}
	return false
}

// add makes an instance; f.mu is held.
func (f *function) add() *instance {
	in := newInstance(f)
	f.instances[in] = true
	f.bill.Instances++
	f.bill.Peak = max(f.bill.Peak, len(f.instances)-len(f.idle))
	f.ended.Add(1)
	return in
}

// replace makes a new instance in the place of one whose init failed.
func (f *function) replace(old *instance) (*instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(old)
	if f.closed {
		return nil, errClosed
	}
	return f.add(), nil
}

// remove gives an instance's place away. f.mu is held.
func (f *function) remove(in *instance) {
	delete(f.instances, in)
	f.idle = slices.DeleteFunc(f.idle, func(other *instance) bool { return other == in })
	f.wake()
}

// wake tells those who wait for an instance to look again. f.mu is held.
func (f *function) wake() {
	close(f.freed)
	f.freed = make(chan struct{})
}

// reclaim ends the instances that are idle, or about to be, and waits until they are gone.
func (f *function) reclaim() {
	patience := time.NewTimer(turnaround)
	defer patience.Stop()
	f.mu.Lock()
	for waited := false; f.returning() && !waited; {
		freed := f.freed
		f.mu.Unlock()
		select {
		case <-freed:
		case <-patience.C:
			waited = true
		}
		f.mu.Lock()
	}
	idle := f.idle
	f.idle = nil
	for _, in := range idle {
		in.kill(nil)
	}
	f.mu.Unlock()
	for _, in := range idle {
		<-in.dead
	}
}

func (f *function) close() {
	f.mu.Lock()
	f.closed = true
	for in := range f.instances {
		in.kill(nil)
	}
	f.mu.Unlock()
	f.ended.Wait()
}
