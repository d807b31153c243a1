package process

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/procgroup"
	"mcpgateway/internal/socket"
)

// unit is a process that a supervisor started, with its own process group.
type unit struct {
	spec   unitSpec
	pid    int
	began  time.Time
	reaped bool           // the number may be another's
	copied sync.WaitGroup // its output was read to the end
}

// startUnit starts a process with the variables, descriptors and output that its spec says, and nothing else of ours.
// The caller's thread must live as long as the process: the kernel kills the process when that thread ends.
func startUnit(s unitSpec, id, logs string, last *lastLines) (*unit, error) {
	u := &unit{spec: s}
	var ours, theirs []*os.File
	defer func() { closeAll(theirs) }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, null)
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours)
			return nil, err
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	if s.Socket != "" {
		handed, err := socket.Hand(s.Socket)
		if err != nil {
			closeAll(ours)
			return nil, fmt.Errorf("start %s: %w", s.Name, err)
		}
		theirs = append(theirs, handed) // the first after the standard ones: socketDescriptor
	}
	env := []string{markerVariable + "=" + id}
	for _, v := range s.Env {
		env = append(env, string(v))
	}
	for _, f := range s.Files {
		r, err := secretPipe(f.Value)
		if err != nil {
			closeAll(ours)
			return nil, err
		}
		env = append(env, f.Variable+"=/dev/fd/"+strconv.Itoa(len(theirs)))
		theirs = append(theirs, r)
	}
	p, err := os.StartProcess(s.Path, s.Args, &os.ProcAttr{Env: env, Files: theirs, Sys: s.attributes()})
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	u.pid, u.began = p.Pid, time.Now()
	_ = p.Release() // the supervisor waits for all its children at once
	out, prefix := filepath.Join(logs, s.Name+".log"), id+" "
	errLog := newLogFile(out)
	if s.Shim {
		u.copy(ours[0], &lineLog{file: newLogFile(filepath.Join(logs, "audit.jsonl"))})
	} else {
		u.copy(ours[0], &lineLog{file: newLogFile(out), prefix: prefix, unit: s.Name, last: last})
	}
	u.copy(ours[1], &lineLog{file: errLog, prefix: prefix, unit: s.Name, last: last})
	return u, nil
}

func (s unitSpec) attributes() *syscall.SysProcAttr {
	if s.User != 0 {
		return procgroup.Owned(s.User)
	}
	return procgroup.Attributes()
}

// secretPipe returns a pipe that holds value and ends after it.
func secretPipe(value []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if len(value) > maxSecret {
		r.Close()
		return nil, fmt.Errorf("secret over %d bytes", maxSecret)
	}
	if _, err := w.Write(value); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (u *unit) copy(r *os.File, to *lineLog) {
	u.copied.Go(func() {
		defer r.Close()
		to.copy(&gathering{pipe: r})
	})
}

// gather is how long lines may wait in a pipe while more of them come.
const gather = 20 * time.Millisecond

// gathering reads a pipe some moments apart. A reader that waits in the pipe is woken by every line, and that costs
// the writer more than its line: a shim writes one for each call, before it answers.
type gathering struct {
	pipe *os.File
	used bool
}

func (g *gathering) Read(p []byte) (int, error) {
	if g.used {
		time.Sleep(gather)
	}
	g.used = true
	return g.pipe.Read(p)
}

// lineLog writes what a unit prints to a log, whole lines at a time.
type lineLog struct {
	file   *logFile
	prefix string     // in front of each line, after the time; none where lines are records
	unit   string     // whose lines they are
	last   *lastLines // where the last ones are kept; nil where they are records
}

// maxLine bounds a line, in bytes. A longer one is written in pieces, each with a newline.
const maxLine = 256 << 10

// copy goes on when a line cannot be written, since the unit must not stop for a full disk; it says so on standard
// error, which is the supervisor's own log.
func (l *lineLog) copy(r io.Reader) {
	defer l.file.close()
	lines := bufio.NewReaderSize(r, maxLine)
	failed := 0
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			if werr := l.write(bytes.TrimSuffix(line, []byte("\n"))); werr != nil {
				if failed++; failed == 1 {
					fmt.Fprintf(os.Stderr, "lines of %s are lost: %v\n", filepath.Base(l.file.path), werr)
				}
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d lines of %s were lost\n", failed, filepath.Base(l.file.path))
	}
}

func (l *lineLog) write(line []byte) error {
	if l.last == nil {
		return l.file.writeLine(append(bytes.Clone(line), '\n'))
	}
	l.last.add(l.unit, line)
	stamp := time.Now().UTC().Format("2006-01-02T15:04:05.000Z ")
	return l.file.writeLine(fmt.Appendf(nil, "%s%s%s\n", stamp, l.prefix, line))
}

// lastLines keeps the last lines that any unit printed, for whoever asks why the group ended.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

const (
	lastLinesKept = 20
	lastLineBytes = 400
)

func (l *lastLines) add(unit string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == lastLinesKept {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, unit+": "+string(line[:min(len(line), lastLineBytes)]))
}

func (l *lastLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
