package differential

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// node is a child process that answers what Node.js reads. It ends with this process, whose end closes its input.
type node struct {
	in  io.Writer
	out *os.File
	buf *bufio.Reader
}

// reply is the child's answer to one question.
type reply struct {
	OK       bool      `json:"ok"` // it is JSON
	Batch    bool      `json:"batch"`
	Messages []reading `json:"messages"`
	Header   string    `json:"header"`
}

// child is started once a process: every worker of the fuzzer has its own.
var child = sync.OnceValues(func() (*node, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "reader.js")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n := &node{in: in, out: out.(*os.File), buf: bufio.NewReaderSize(out, 64<<10)}
	return n, cmd.Start()
})

// needNode returns the child. Where there is no Node.js the test is skipped, but never in CI.
func needNode(tb testing.TB) *node {
	tb.Helper()
	n, err := child()
	if err != nil && os.Getenv("CI") != "true" {
		tb.Skipf("needs Node.js: %v", err)
	} else if err != nil {
		tb.Fatalf("needs Node.js: %v", err)
	}
	return n
}

// patience is how long the child may take for one answer: it takes microseconds.
const patience = 20 * time.Second

// ask puts a question of a kind: m for messages to a server, a for answers of one, h for a header's value. A child that
// dies or hangs is a find like any other.
func (n *node) ask(tb testing.TB, kind byte, question []byte) reply {
	tb.Helper()
	r, err := n.exchange(kind, question)
	if err != nil {
		tb.Fatalf("Node.js does not answer %q: %v", question, err)
	}
	return r
}

func (n *node) exchange(kind byte, question []byte) (r reply, err error) {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 5+len(question)), uint32(1+len(question)))
	if _, err := n.in.Write(append(append(frame, kind), question...)); err != nil {
		return r, fmt.Errorf("write: %w", err)
	}
	if err := n.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return r, err
	}
	var length [4]byte
	if _, err := io.ReadFull(n.buf, length[:]); err != nil {
		return r, fmt.Errorf("read: %w", err)
	}
	text := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(n.buf, text); err != nil {
		return r, fmt.Errorf("read: %w", err)
	}
	return r, json.Unmarshal(text, &r)
}
