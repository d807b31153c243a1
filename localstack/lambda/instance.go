package lambda

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"mcpgateway/internal/procgroup"
)

// state is where an instance is in the life that Lambda gives it.
type state int

const (
	initializing state = iota
	busy               // it has an invocation, or gets one at once
	answered           // it may still do something, which is billed, until it asks for the next
	idle               // and frozen
)

// instance is one process of a function, with a Runtime API of its own.
type instance struct {
	f           *function
	server      *http.Server
	invocations chan *invocation // with room for the one it may have
	running     chan struct{}    // closed when group is known
	ready       chan struct{}    // closed at the first request for an invocation
	initError   chan *failure    // with room for one
	reported    atomic.Bool      // an error of init
	dead        chan struct{}    // closed when the process has been waited for

	// With f.mu:
	state   state
	group   *procgroup.Group // nil before it runs
	current *invocation      // from when it is given until the next is asked for
	killed  bool
	gone    bool     // it has been waited for
	fate    *failure // why it was killed, or ended
}

func newInstance(f *function) *instance {
	return &instance{f: f, invocations: make(chan *invocation, 1), running: make(chan struct{}),
		ready: make(chan struct{}), initError: make(chan *failure, 1), dead: make(chan struct{})}
}

// initialize runs the process until it asks for its first invocation. If it does not within the limit, it is ended.
func (in *instance) initialize(limit time.Duration) *failure {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		in.ended(err)
		return in.fate
	}
	in.server = serve(l, in.runtimeRoutes(), 0)
	go in.live(l.Addr().String())
	patience := time.NewTimer(limit)
	defer patience.Stop()
	var why *failure
	select {
	case <-in.ready:
		// A process can ask before whoever started it knows of it.
		select {
		case <-in.running:
			return nil
		case <-in.dead:
		}
	case why = <-in.initError:
	case <-patience.C:
		why = &failure{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())}
	case <-in.dead:
	}
	in.f.mu.Lock()
	in.kill(why)
	in.f.mu.Unlock()
	<-in.dead
	return in.fate
}

// live is the process's life, on a thread of its own: the kernel ends a process with the thread that started it.
func (in *instance) live(api string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(in.f.Program)
	cmd.Env, cmd.Dir, cmd.WaitDelay = in.f.environ(api), filepath.Dir(in.f.Program), time.Second
	out, err := &lineWriter{f: in.f}, &lineWriter{f: in.f}
	cmd.Stdout, cmd.Stderr = out, err
	group, problem := procgroup.Start(cmd)
	if problem == nil {
		in.f.mu.Lock()
		in.group = group
		if in.killed {
			group.Signal(syscall.SIGKILL)
		}
		in.f.mu.Unlock()
		close(in.running)
		problem = group.Wait()
	}
	out.close()
	err.close()
	in.ended(problem)
}

// kill ends the process; why is what its invocation is told. f.mu is held.
func (in *instance) kill(why *failure) {
	in.killed = true
	if in.fate == nil {
		in.fate = why
	}
	if in.group != nil {
		in.group.Signal(syscall.SIGKILL)
	}
}

// ended settles what an instance leaves. One that fails in init keeps its place: it is started again.
func (in *instance) ended(err error) {
	f := in.f
	f.mu.Lock()
	in.gone = true
	if in.fate == nil {
		in.fate = exitFailure(err)
	}
	if in.state != initializing {
		f.remove(in)
	}
	inv := in.current
	var report string
	if inv != nil {
		if !inv.claimed {
			f.bill.Failed++
		}
		report = in.settle(in.fate)
	}
	f.mu.Unlock()
	if in.server != nil {
		in.server.Close()
	}
	close(in.dead)
	if inv != nil {
		f.print(report)
		inv.fate = in.fate
		close(inv.over)
	}
	f.ended.Done()
}

// exitFailure is what Lambda reports of a process that ended by itself.
func exitFailure(err error) *failure {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &failure{Type: "Runtime.ExitError", Message: "Runtime exited without providing a reason"}
	case errors.As(err, &exit):
		return &failure{Type: "Runtime.ExitError", Message: "Runtime exited with error: " + exit.Error()}
	}
	return &failure{Type: "Runtime.InvalidEntrypoint", Message: err.Error()}
}

// assign gives the instance, which is new or was idle, its invocation, and lets it run.
func (in *instance) assign(inv *invocation) *failure {
	f := in.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.gone {
		return in.fate
	}
	if inv.began.IsZero() {
		inv.begin(f.Timeout)
	}
	in.current = inv
	f.bill.Invocations++
	inv.timer = time.AfterFunc(time.Until(inv.deadline), func() { in.expire(inv) })
	in.invocations <- inv
	in.group.Signal(syscall.SIGCONT)
	return nil
}

// expire kills at the deadline.
func (in *instance) expire(inv *invocation) {
	f := in.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.current == inv {
		f.bill.TimedOut++
		in.kill(&failure{Type: "Sandbox.Timedout",
			Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id, f.Timeout.Seconds())})
	}
}

// asks is a request for an invocation: the one before is over, and the instance is frozen until there is another.
// It reports whether the instance may ask now.
func (in *instance) asks() bool {
	f := in.f
	f.mu.Lock()
	var report string
	may := true
	switch {
	case in.gone || in.killed: // a request that was on its way
		may = false
	case in.state == initializing:
		in.state = busy
		close(in.ready)
	case in.state == answered:
		report = in.settle(nil)
		in.state = idle
		in.group.Signal(syscall.SIGSTOP)
		f.idle = append(f.idle, in)
		f.wake()
	case in.state == busy:
		may = in.current == nil || !in.current.delivered
	default: // idle: its connection broke, and it asks again
	}
	f.mu.Unlock()
	if report != "" {
		f.print(report)
	}
	return may
}

// settle bills the invocation and returns its line in the log. f.mu is held.
func (in *instance) settle(why *failure) string {
	inv := in.current
	in.current = nil
	inv.timer.Stop()
	took := time.Since(inv.began)
	billed := inMilliseconds(inv.init + took)
	in.f.bill.Billed += billed
	report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %s\tBilled Duration: %d ms\tMemory Size: %d MB",
		inv.id, milliseconds(took), billed.Milliseconds(), in.f.Memory)
	if inv.init > 0 {
		report += "\tInit Duration: " + milliseconds(inv.init)
	}
	if why != nil {
		report += "\tStatus: error\tError Type: " + why.Type + "\tError: " + strconv.Quote(why.Message)
	}
	return report
}
