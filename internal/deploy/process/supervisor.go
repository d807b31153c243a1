package process

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/deploy/unitlog"
	"mcpgateway/internal/procgroup"
)

// How long things may take when a group ends.
const (
	stopGrace   = 5 * time.Second        // between SIGTERM and SIGKILL
	outputGrace = 500 * time.Millisecond // for the last lines, should a process outside our reach hold a pipe open
)

// lockDescriptor is where a supervisor inherits the lock of its group's folder.
const lockDescriptor = 3

// markerVariable is in the environment of every process of a group, with the group's name.
const markerVariable = "MCPGATEWAY_INSTANCE"

// supervisor keeps the processes of one group together: all run, or none does. It is a process of its own so that the
// group outlives the deployer, and so that somebody is left who knows it when the deployer is killed.
type supervisor struct {
	spec    spec
	units   []*unit
	reaping sync.Mutex     // held while a child's number is freed, and while signals are sent
	exits   chan exit      // of all children; closed when not a single one is left
	signals chan os.Signal // SIGTERM: finish what is under way; SIGINT: now
	hurried bool           // SIGINT has come
	last    unitlog.Last
}

type exit struct {
	unit   *unit // nil: an orphan that was given to us
	status syscall.WaitStatus
}

// Supervise is the whole program of a supervisor. It reads its spec from standard input, inherits the folder's lock as
// descriptor 3, and returns the status to exit with when the group is gone. It must be called from the main goroutine.
func Supervise() int {
	// The units ask the kernel for a signal when their parent dies, and their parent is a thread (golang/go#27505):
	// this one must start them and must not end before the process does.
	runtime.LockOSThread()
	keepDescriptors()
	s := &supervisor{exits: make(chan exit, 16), signals: make(chan os.Signal, 4)}
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT)
	// Caught and not ignored: units would inherit that. Who reads our log may have gone before us.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	var err error
	if s.spec, err = readSpec(os.Stdin); err == nil {
		os.Stdin.Close()
		err = s.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	return 0
}

// keepDescriptors has no unit inherit what we did: the lock, which would keep the group alive for ever, and whatever the
// deployer itself was given.
func keepDescriptors() {
	syscall.CloseOnExec(lockDescriptor)
	entries, _ := os.ReadDir("/dev/fd")
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 2 {
			syscall.CloseOnExec(n)
		}
	}
}

// run starts the units, waits until one ends or somebody wants them to, and stops the rest.
func (s *supervisor) run() error {
	if err := procgroup.AdoptOrphans(); err != nil {
		return err
	}
	// Before the first unit, so that whoever wants the group to end can say so.
	if err := s.writeRecord(); err != nil {
		return err
	}
	why := s.start()
	go s.reap()
	if why == nil {
		why = s.wait()
	}
	s.stop()
	if why == nil {
		return os.RemoveAll(s.spec.Dir)
	}
	why.Lines, why.At = s.last.All(), time.Now()
	s.removeSockets()
	return writeJSON(filepath.Join(s.spec.Dir, fileEnding), why)
}

// start starts the units. An ending means that one could not be started.
func (s *supervisor) start() *ending {
	if err := os.MkdirAll(s.spec.Logs, 0o700); err != nil {
		return &ending{Reason: reasonCrashed, Status: err.Error()}
	}
	if slices.ContainsFunc(s.spec.Units, func(u unitSpec) bool { return u.User != 0 }) {
		if err := procgroup.RenouncePrivileges(); err != nil {
			return &ending{Reason: reasonCrashed, Status: err.Error()}
		}
	}
	for _, spec := range s.spec.Units {
		u, err := startUnit(spec, s.spec.ID, s.spec.Logs, &s.last)
		if err != nil {
			return &ending{Reason: reasonCrashed, Unit: spec.Name, Status: err.Error()}
		}
		s.units = append(s.units, u)
	}
	if err := s.writeRecord(); err != nil {
		return &ending{Reason: reasonCrashed, Status: err.Error()}
	}
	return nil
}

func (s *supervisor) writeRecord() error {
	r := supervisorRecord{PID: os.Getpid(), Boot: bootID(), Groups: map[string]int{}}
	for _, u := range s.units {
		r.Groups[u.spec.Name] = u.pid
	}
	return writeJSON(filepath.Join(s.spec.Dir, fileSupervisor), r)
}

// reap waits for every child, orphans that were given to us included, until there is none.
func (s *supervisor) reap() {
	defer close(s.exits)
	for {
		var ended exit
		err := procgroup.WaitAny(&s.reaping, func(pid int, status syscall.WaitStatus) {
			for _, u := range s.units {
				if u.pid == pid && !u.reaped {
					u.reaped, ended = true, exit{u, status}
				}
			}
		})
		if err != nil {
			return
		}
		s.exits <- ended
	}
}

// wait returns why the group must end; nil where that is as it should be.
func (s *supervisor) wait() *ending {
	var drained <-chan time.Time // set when the shim was asked to finish
	for {
		select {
		case e := <-s.exits:
			i := slices.Index(s.units, e.unit)
			if i < 0 {
				continue
			}
			// The shim says by status 0 that it is idle. Once it was asked to end, any end will do.
			spec := s.units[i].spec
			if drained != nil || spec.Shim && e.status.ExitStatus() == 0 {
				return nil
			}
			if !s.restart(i, describe(e.status)) {
				return &ending{Reason: reasonCrashed, Unit: spec.Name, Status: describe(e.status)}
			}
		case sig := <-s.signals:
			if s.hurried = sig == syscall.SIGINT; s.hurried {
				return &ending{Reason: reasonStopped}
			}
			if drained == nil {
				drained = time.After(s.spec.Drain)
				s.signalShim()
			}
		case <-drained:
			return nil
		}
	}
}

// restartable is how long a unit must have run that is started again: one that ends sooner would do so for ever.
const restartable = time.Second

// restart starts a unit again that ended and on which nobody else's state depends, and reports whether it did. A call
// that waits for a filter must not cost everybody the server.
func (s *supervisor) restart(i int, status string) bool {
	old := s.units[i]
	if !old.spec.Restart || time.Since(old.began) < restartable {
		return false
	}
	s.reaping.Lock() // it must be known before it can be seen to end
	defer s.reaping.Unlock()
	u, err := startUnit(old.spec, s.spec.ID, s.spec.Logs, &s.last)
	if err != nil {
		return false
	}
	s.units[i] = u
	fmt.Fprintf(os.Stderr, "%s %s ended (%s) and was started again\n", s.spec.ID, u.spec.Name, status)
	return s.writeRecord() == nil
}

// signalShim asks the shim to finish.
func (s *supervisor) signalShim() {
	for _, u := range s.units {
		if u.spec.Shim {
			s.signal(u, syscall.SIGTERM)
		}
	}
}

// stop ends what still runs: politely, then not, then whatever hid from us in a process group of its own. After
// that it waits for the last lines.
func (s *supervisor) stop() {
	s.signalAll(syscall.SIGTERM)
	for deadline := time.Now().Add(stopGrace); s.groupsRun() && !s.hurried && time.Now().Before(deadline); {
		s.waitExits(10 * time.Millisecond)
	}
	s.signalAll(syscall.SIGKILL)
	for range 200 {
		if s.waitExits(5 * time.Millisecond) {
			break
		}
		s.killDescendants()
	}
	s.waitOutput()
}

// killDescendants kills whatever is left, whose children are ours from then on.
func (s *supervisor) killDescendants() {
	s.reaping.Lock()
	defer s.reaping.Unlock()
	for _, p := range procgroup.ReadTree().Descendants(os.Getpid()) {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
}

func (s *supervisor) signalAll(sig syscall.Signal) {
	for _, u := range s.units {
		s.signal(u, sig)
	}
}

// signal reaches all of a unit's group, and reports whether anybody is left of it. When the unit itself is not, its number
// is free, and could be that of another's group by now.
func (s *supervisor) signal(u *unit, sig syscall.Signal) bool {
	s.reaping.Lock()
	defer s.reaping.Unlock()
	if u.reaped {
		return procgroup.SignalRest(u.pid, sig)
	}
	return syscall.Kill(-u.pid, sig) == nil
}

// groupsRun reports whether a unit, or a process that it started, is left.
func (s *supervisor) groupsRun() bool {
	return slices.ContainsFunc(s.units, func(u *unit) bool { return s.signal(u, 0) })
}

// waitExits waits for d, and reports whether every child was gone before.
func (s *supervisor) waitExits(d time.Duration) bool {
	deadline := time.After(d)
	for {
		select {
		case _, more := <-s.exits:
			if !more {
				return true
			}
		case sig := <-s.signals:
			s.hurried = s.hurried || sig == syscall.SIGINT
		case <-deadline:
			return false
		}
	}
}

// waitOutput waits until what the units wrote was read.
func (s *supervisor) waitOutput() {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		for _, u := range s.units {
			u.copied.Wait()
		}
	}()
	select {
	case <-copied:
	case <-time.After(outputGrace):
	}
}

func (s *supervisor) removeSockets() {
	sockets, _ := filepath.Glob(filepath.Join(s.spec.Dir, "*.sock")) // the pattern is well formed
	for _, path := range sockets {
		os.Remove(path)
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
