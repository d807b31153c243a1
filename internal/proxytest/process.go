package proxytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Command is a program to start.
type Command struct {
	Path string
	Args []string
	Env  []string // besides the environment of this process
	Dir  string   // that it runs in; empty: the one of this process
	Log  string   // file for what it prints
}

// Process is a program that runs until Stop.
type Process struct {
	cmd    *exec.Cmd
	name   string
	log    string
	exited chan struct{} // closed when err is known
	err    error
}

// StartProcess starts a program. It inherits the environment, not the terminal.
func StartProcess(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close() // the child holds its own
	p := &Process{cmd: exec.Command(c.Path, c.Args...), name: filepath.Base(c.Path), log: c.Log, exited: make(chan struct{})}
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A group of its own: Ctrl-C reaches this process alone, which then stops the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Await returns when the process accepts connections at an address, at most ten seconds from now.
func (p *Process) Await(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended (%v) before it listened; see %s", p.name, p.err, p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w; see %s", p.name, address, err, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// patience is how long a process may take to stop: longer than the longest drain of ours.
const patience = 20 * time.Second

// Stop asks the process to end and waits for it. An end before Stop, one that is no answer to SIGTERM, and one that must
// be forced are errors.
func (p *Process) Stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself: %v; see %s", p.name, p.err, p.log)
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s had to be killed; see %s", p.name, p.log)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		return fmt.Errorf("stop %s: %w; see %s", p.name, p.err, p.log)
	}
	return nil
}

// FreeAddress is a loopback address that nobody listened on a moment ago.
func FreeAddress() (string, error) {
	port, err := FreePorts(1)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// FreePorts is the first of n ports in a row of 127.0.0.1 that nobody listened on a moment ago. The system gives none of them
// away by itself, to whoever connects or listens somewhere (Linux: ports below 32768): a test would find that one in the place
// of the program that it starts.
func FreePorts(n int) (int, error) {
	var last error
	for range 100 {
		first := 21000 + rand.N(11000)
		last = nil
		for port := first; port < first+n && last == nil; port++ {
			var l net.Listener
			if l, last = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); last == nil {
				last = l.Close()
			}
		}
		if last == nil {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}
