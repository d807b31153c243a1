package bridge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"mcpgateway/internal/procgroup"
)

// Bounds of what a child may do to us.
const (
	maxLine     = 32 << 20         // bytes of one message
	maxLogLine  = 4 << 10          // bytes of a line on stderr, and of what is quoted of one that is no message
	writeGrace  = 30 * time.Second // to take a message from its standard input
	outputGrace = 500 * time.Millisecond
	closeGrace  = time.Second     // between the end of its input and SIGTERM (MCP, stdio, "shutdown")
	termGrace   = 2 * time.Second // between SIGTERM and SIGKILL
)

// errTooLong is why a child ends that writes a line without end.
var errTooLong = fmt.Errorf("a message of more than %d MiB", maxLine>>20)

// process is a running child: lines in, lines out. It is in a process group of its own, which ends with it.
type process struct {
	cmd    *exec.Cmd
	group  *procgroup.Group
	stdin  *os.File
	stdout *os.File
	turn   chan struct{} // held while a message is written; who waits for it can leave
	grace  time.Duration // to take a message
	until  time.Time     // stdin's deadline; of who holds turn
	exited chan struct{} // closed when the program has ended
	status string        // how, from exited on
	log    *slog.Logger
	quota  *quota // of lines that it has us log
}

// startProcess starts the program with exactly that environment.
func startProcess(command, env []string, log *slog.Logger) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), turn: make(chan struct{}, 1), grace: writeGrace,
		exited: make(chan struct{}), log: log, quota: newQuota(log)}
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	defer childIn.Close()
	stdout, childOut, err := os.Pipe()
	if err != nil {
		stdin.Close()
		return nil, fmt.Errorf("start server: %w", err)
	}
	defer childOut.Close()
	p.stdin, p.stdout = stdin, stdout
	p.cmd.Env, p.cmd.Stdin, p.cmd.Stdout = env, childIn, childOut
	p.cmd.Stderr = &logLines{log: log, quota: p.quota}
	p.cmd.WaitDelay = outputGrace // a process that left the group may hold stderr open
	if p.group, err = procgroup.Start(p.cmd); err != nil {
		stdin.Close()
		stdout.Close()
		return nil, fmt.Errorf("start server: %w", err)
	}
	p.log = log.With("pid", p.cmd.Process.Pid)
	p.log.Info("server started")
	go p.wait()
	return p, nil
}

// wait waits for the program's end, and takes what it started along.
func (p *process) wait() {
	err := p.group.Wait()
	p.status = "exit status 0"
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		p.status = err.Error()
	}
	_, _ = p.cmd.Stderr.Write([]byte{'\n'}) // its last line may have no end
	p.quota.say()
	p.log.Info("server ended", "status", p.status)
	close(p.exited)
	p.stdin.Close()
	// What it wrote last is still in the pipe. Whoever else holds the pipe has no more to say to us.
	time.AfterFunc(outputGrace, func() { p.stdout.Close() })
}

// write sends one message; line may have room for the line end. A child that does not read makes its callers wait, each
// with one message, and no longer than ctx and twice the grace allow.
func (p *process) write(ctx context.Context, line []byte) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.exited:
		return errEnded
	}
	defer func() { <-p.turn }()
	if err := p.extend(); err != nil {
		return errEnded
	}
	n, err := p.stdin.Write(append(line, '\n'))
	if err != nil && n > 0 {
		p.kill() // half a message is in its input: nothing that follows would be understood
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errDeaf
	}
	if err != nil {
		return errEnded
	}
	return nil
}

// extend has the child's input take at least grace for a message, and twice that at most: to set a deadline for every
// message would cost as much as to write it.
func (p *process) extend() error {
	now := time.Now()
	if p.until.Sub(now) >= p.grace {
		return nil
	}
	p.until = now.Add(2 * p.grace)
	return p.stdin.SetWriteDeadline(p.until)
}

var (
	errEnded = errors.New("the server's process has ended")
	errDeaf  = errors.New("the server does not read its input")
)

// read calls line for every line until the output ends; the bytes are the callee's. It returns why, nil at a plain end.
func (p *process) read(line func([]byte)) error {
	in := bufio.NewReaderSize(p.stdout, 64<<10)
	var whole []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(whole)+len(part) > maxLine {
			return errTooLong
		}
		whole = append(whole, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil || len(whole) > 0:
			line(whole)
			whole = nil
		}
		if err == io.EOF || errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// kill ends the group at once, and who left it. It does not wait.
func (p *process) kill() {
	leavers := p.group.Leavers()
	p.group.Signal(syscall.SIGKILL)
	killAll(leavers)
}

func killAll(processes []*os.Process) {
	for _, leaver := range processes {
		_ = leaver.Kill() // mostly it ended with the rest
		_ = leaver.Release()
	}
}

// stop ends the child as MCP's stdio transport asks for: its input ends, then SIGTERM, then SIGKILL. Who left its group is
// killed when it is gone, and then it returns.
func (p *process) stop() {
	leavers := p.group.Leavers()
	defer func() { killAll(leavers) }()
	p.stdin.Close()
	for _, step := range []struct {
		patience time.Duration
		then     syscall.Signal
	}{{closeGrace, syscall.SIGTERM}, {termGrace, syscall.SIGKILL}} {
		timer := time.NewTimer(step.patience)
		select {
		case <-p.exited:
			timer.Stop()
			return
		case <-timer.C:
			leavers = append(leavers, p.group.Leavers()...)
			p.group.Signal(step.then)
		}
	}
	<-p.exited
}

// logLines logs what a child writes to stderr line by line, none longer than maxLogLine, and not too many. As fields of
// our own lines they cannot pass for one.
type logLines struct {
	log   *slog.Logger
	quota *quota
	rest  []byte
	skip  bool // the rest of a line that was too long
}

// Write implements io.Writer. It never fails.
func (l *logLines) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		part, after, found := bytes.Cut(b, []byte{'\n'})
		if !l.skip {
			l.rest = append(l.rest, part[:min(len(part), maxLogLine-len(l.rest))]...)
		}
		if !found && len(l.rest) < maxLogLine {
			return n, nil
		}
		if !l.skip && len(l.rest) > 0 && l.quota.take() {
			l.log.Info("stderr", "line", string(bytes.ToValidUTF8(l.rest, []byte("?"))))
		}
		l.rest, l.skip, b = l.rest[:0], !found, after
	}
	return n, nil
}
