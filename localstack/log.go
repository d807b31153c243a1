package localstack

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLine is how much of a line is kept while its end has not come, in bytes.
const maxLine = 64 << 10

// log takes the lines of several programs and writes them whole, each with the name of its program.
type log struct {
	mu  sync.Mutex
	out io.Writer
}

// writer returns where one program writes. Close ends a last line that has no end; more may be written after it.
func (l *log) writer(name string) io.WriteCloser { return &lines{log: l, name: name} }

type lines struct {
	log  *log
	name string
	rest []byte // of a line whose end has not come yet
}

// Write implements io.Writer. It never fails: a program must not end because nobody can read its log.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found && len(l.rest) < maxLine {
			return len(p), nil
		}
		l.print(line)
		l.rest = bytes.Clone(rest)
	}
}

// Close implements io.Closer.
func (l *lines) Close() error {
	if len(l.rest) > 0 {
		l.print(l.rest)
		l.rest = nil
	}
	return nil
}

func (l *lines) print(line []byte) {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	fmt.Fprintf(l.log.out, "%-14s | %s\n", l.name, line)
}
