package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/deploy/unitlog"
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
func startUnit(s unitSpec, id, logs string, last *unitlog.Last) (*unit, error) {
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
	errLog := unitlog.NewFile(out)
	if s.Shim {
		u.copy(ours[0], &unitlog.Lines{File: unitlog.NewFile(filepath.Join(logs, "audit.jsonl"))})
	} else {
		u.copy(ours[0], &unitlog.Lines{File: unitlog.NewFile(out), Prefix: prefix, Unit: s.Name, Last: last})
	}
	u.copy(ours[1], &unitlog.Lines{File: errLog, Prefix: prefix, Unit: s.Name, Last: last})
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
	if len(value) > secretfolder.MaxBytes {
		r.Close()
		return nil, fmt.Errorf("secret over %d bytes", secretfolder.MaxBytes)
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

func (u *unit) copy(r *os.File, to *unitlog.Lines) {
	u.copied.Go(func() {
		defer r.Close()
		to.Copy(&gathering{pipe: r})
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
