package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// One caller cannot take all places of a shared child.
func TestPlacesOfOneCaller(t *testing.T) {
	p := idlePipe()
	begin := func(caller string) bool {
		if p.full(caller) {
			return false
		}
		p.last++
		p.pending[p.last] = &exchange{caller: caller}
		return true
	}
	greedy := 0
	for begin("greedy") {
		greedy++
	}
	if greedy != maxPending/2 {
		t.Errorf("one caller got %d places", greedy)
	}
	others := 0
	for i := range 10 {
		for begin(fmt.Sprint(i)) {
			others++
		}
	}
	if others != maxPending-greedy || begin("last") {
		t.Errorf("others got %d places, and more", others)
	}
}

// deadProcess takes no input.
func deadProcess() *process {
	log := slog.New(slog.DiscardHandler)
	p := &process{exited: make(chan struct{}), log: log, quota: newQuota(log)}
	close(p.exited)
	return p
}

// Whatever a child writes, in whatever order: an answer reaches the exchange with its number and no other, once, as the
// last message, with the caller's own id, on one line.
func FuzzTake(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{}}`+"\n"+`{"jsonrpc":"2.0","id":1,"result":{}}`+"\n"+`{"id":"2","result":{}}`), byte(0), byte(0))
	f.Add([]byte(`[{"id":3,"error":{"code":1}},{"id":2,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}]`), byte(0), byte(0))
	f.Add([]byte(`{"method":"notifications/progress","params":{"progressToken":2}}`+"\n\r\n"+`{"id":2.0,"result":{}}`), byte(0), byte(0))
	f.Add([]byte(`{"method":"notifications/x","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}`), byte(0), byte(0))
	f.Add([]byte("Welcome\n{\"id\":9,\"method\":\"ping\"}\n{}\n\xff\n"+`{"id":02,"result":{}}`), byte(0), byte(0))
	f.Add([]byte(`{"id":1,"result":{}}{"id":2,"result":{}}`), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, output []byte, where, digit byte) {
		output = renumber(output, where, digit)
		strays := 0
		p := newPipe(deadProcess(), use{stray: func(p *pipe, m mcp.Labelled) {
			if strays++; m.Kind == mcp.Response {
				t.Fatalf("an answer went astray: %s", m.Relabel())
			}
			p.reply(m, replyNobody)
		}})
		exchanges := map[string]*exchange{}
		for n := int64(1); n <= 3; n++ {
			x := &exchange{number: n, to: newOutlet(nil, 1), id: mcp.Token(fmt.Sprintf(`"of %d"`, n))}
			if n > 1 {
				x.progress = mcp.Token(fmt.Sprintf(`"progress of %d"`, n))
			}
			p.pending[n], exchanges[strconv.FormatInt(n, 10)] = x, x
		}
		answered := map[string]bool{}
		for line := range bytes.SplitSeq(output, []byte{'\n'}) {
			parts, _, err := mcp.ParseBatch(bytes.TrimSpace(line))
			if err != nil {
				parts = nil
			}
			for _, m := range parts {
				if m.Err == nil && m.Kind == mcp.Response {
					answered[string(m.ID.Token)] = true
				}
			}
			p.take(bytes.Clone(line))
		}
		for n, x := range exchanges {
			rest := drain(x.to)
			for i, m := range rest {
				if bytes.ContainsAny(m.line, "\r\n") {
					t.Fatalf("%q is more than one line", m.line)
				}
				if m.of == nil {
					if !bytes.Contains(m.line, []byte("of "+n)) {
						t.Fatalf("%s went to %s", m.line, n)
					}
					continue
				}
				got, err := mcp.ParseLabelled(m.line)
				if m.of != x || i != len(rest)-1 || err != nil || !bytes.Equal(got.ID.Token, x.id) {
					t.Fatalf("%s, message %d of %d, went to %s: %v", m.line, i+1, len(rest), n, err)
				}
			}
			has := len(rest) > 0 && rest[len(rest)-1].of != nil
			if has && !answered[n] || !has && answered[n] && len(rest) < cap(x.to.messages) {
				t.Fatalf("%s is answered: %v, the child did: %v\n%q", n, has, answered[n], output)
			}
		}
	})
}

// renumber writes a digit in the place of the where-th, counted from 1 and around; 0 is none. What is asked and answered,
// and which error it is, are numbers, and bytes changed at random seldom meet one.
func renumber(text []byte, where, digit byte) []byte {
	var places []int
	for i, c := range text {
		if c >= '0' && c <= '9' {
			places = append(places, i)
		}
	}
	text = bytes.Clone(text)
	if where > 0 && len(places) > 0 {
		text[places[int(where-1)%len(places)]] = '0' + digit%10
	}
	return text
}

func drain(o *outlet) (all []message) {
	for len(o.messages) > 0 {
		all = append(all, <-o.messages)
	}
	return all
}

// What an answer's labels are is the caller's, in its _meta too.
func TestSubscriptionInAnswer(t *testing.T) {
	p := newPipe(deadProcess(), use{})
	x := &exchange{number: 2, to: newOutlet(nil, 1), id: mcp.Token(`"sub"`)}
	p.pending[2] = x
	for _, other := range []string{`"2"`, `2.0`, `02`, `+2`, `20`, ` `} {
		p.take([]byte(`{"jsonrpc":"2.0","id":` + other + `,"result":{}}`))
	}
	p.take([]byte(`{"jsonrpc":"2.0","id":2,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}`))
	const want = `{"jsonrpc":"2.0","id":"sub","result":{"_meta":{"io.modelcontextprotocol/subscriptionId":"sub"}}}`
	if got := drain(x.to); len(got) != 1 || string(got[0].line) != want {
		t.Errorf("got %d, the first %s", len(got), got[0].line)
	}
}

// A child gets exactly the environment that it should, and none where that is nil.
func TestNoEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_OURS", "x")
	r := newRig(t, "plain", func(c *Config) { c.Command, c.Env = []string{"env"}, nil })
	r.post(initialize)
	eventually(t, "it ended", func() bool { return strings.Contains(r.log.String(), "server ended") })
	if log := r.log.String(); strings.Contains(log, "SECRET_OF_OURS") || strings.Contains(log, "PATH=") {
		t.Errorf("the child has %s", log)
	}
}

// A child that ended leaves no descriptor, and its last words are logged though they have no line end.
func TestChildLeavesNothing(t *testing.T) {
	r := newRig(t, "plain", func(c *Config) { c.Command = []string{"sh", "-c", "printf 'last words' >&2"} })
	p, err := r.bridge.starts.next(use{stray: strayModern})
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if !strings.Contains(r.log.String(), `"line":"last words"`) {
		t.Errorf("the log has %s", r.log)
	}
	for _, file := range []*os.File{p.process.stdin, p.process.stdout} {
		eventually(t, "it is closed", func() bool { _, err := file.Write([]byte{'\n'}); return errors.Is(err, os.ErrClosed) })
	}
}

// The child is told once of each request that nobody waits for, but for initialize and what we asked ourselves.
func TestCancelled(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := newPipe(&process{stdin: in, turn: make(chan struct{}, 1), grace: time.Minute, exited: make(chan struct{})}, use{})
	for i, x := range []*exchange{{method: "initialize"}, {ours: true}, {}} {
		x.number = int64(i + 1)
		p.pending[x.number] = x
		p.cancel(x)
		p.cancel(x)
	}
	in.Close()
	const want = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"the client left"}}` + "\n"
	if got, err := io.ReadAll(out); err != nil || string(got) != want || len(p.pending) != 0 {
		t.Errorf("the child was told %q, %v; %d are under way", got, err, len(p.pending))
	}
}

// The whole group is asked to end, not only the program that we know: a wrapper may wait for what it started.
func TestGroupIsAskedToEnd(t *testing.T) {
	const inner = `trap "echo bye >&2; exit" TERM; echo ready >&2; while :; do sleep 0.05; done`
	r := newRig(t, "plain", func(c *Config) { c.Command = []string{"sh", "-c", `trap : TERM; sh -c '` + inner + `' & wait; wait`} })
	p, err := r.bridge.starts.next(use{stray: strayModern})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return strings.Contains(r.log.String(), "ready") })
	p.process.stop()
	if !strings.Contains(r.log.String(), "bye") {
		t.Errorf("the log has %s", r.log)
	}
}
