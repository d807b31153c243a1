package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// maxPending bounds the requests under way on one child.
const maxPending = 1000

// pipe is a child with the requests under way on it. Every request gets a number of ours in place of the caller's id and
// progress token, since the ids of different callers collide; the answer carries the caller's own again.
type pipe struct {
	process  *process
	log      *slog.Logger
	ended    chan struct{} // closed when no more answers come
	reason   string        // why, from ended on
	replying chan struct{} // bounds the replies under way

	mu      sync.Mutex
	use     use
	last    int64
	pending map[int64]*exchange
	spoke   bool // the child sent a proper message

	abandoned bool // its client left before it could speak
	served    bool
	caller    string // whom it served last
	mixed     bool   // it served several callers
}

// exchange is one request under way.
type exchange struct {
	session *session // whose it is; nil in the modern era
	caller  string   // whose that is, as the shim says
	to      *outlet
	streams bool // its caller takes more than the answer
	ours    bool // no caller's: the child is not told when we wait no longer

	number   int64
	method   string
	id       mcp.Token // the caller's
	progress mcp.Token // the caller's; nil where it wants none
	logs     bool      // it asked for log messages
}

// use is what a child is used for.
type use struct {
	patience time.Duration                 // how long a caller that does not read may hold the child back
	stray    func(p *pipe, m mcp.Labelled) // takes what belongs to no request
}

// How long that is: one whose child is its own harms nobody but itself.
const (
	patienceOwn    = time.Minute
	patienceShared = time.Second
)

func newPipe(p *process, u use) *pipe {
	return &pipe{process: p, log: p.log, use: u, ended: make(chan struct{}), pending: map[int64]*exchange{},
		replying: make(chan struct{}, 16)}
}

func (p *pipe) used() use {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.use
}

// become gives the child to another use.
func (p *pipe) become(u use) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.use = u
}

// run takes the child's messages until its output ends. Then the child is of no more use, and all who wait learn it.
func (p *pipe) run() {
	err := p.process.read(p.take)
	p.process.kill()
	<-p.process.exited
	p.reason = "it ended: " + p.process.status
	if err != nil {
		p.log.Error("server's output cannot be read", "error", err)
		p.reason = "it sent " + err.Error()
	}
	close(p.ended)
}

var errBusy = errors.New("too many requests are under way")

// begin sends a request for x, whose messages come to its outlet, the answer last.
func (p *pipe) begin(ctx context.Context, m *mcp.Labelled, x *exchange) error {
	x.method, x.id, x.progress, x.logs = m.Method, m.ID.Token, m.Progress.Token, m.LogLevel != nil
	p.mu.Lock()
	if p.full(x.caller) {
		p.mu.Unlock()
		return errBusy
	}
	if !x.ours {
		p.mixed = p.mixed || p.served && p.caller != x.caller
		p.served, p.caller = true, x.caller
	}
	p.last++
	x.number = p.last
	p.pending[x.number] = x
	p.mu.Unlock()
	err := p.process.write(ctx, m.Relabel(mcp.Change{Label: m.ID, With: x.token()}, mcp.Change{Label: m.Progress, With: x.token()}))
	if err != nil {
		p.drop(x.number)
	}
	return err
}

// full tells whether the child takes no more of a caller: when half of the places are taken, nobody gets more than a
// tenth, or one could take all. The caller holds p.mu.
func (p *pipe) full(caller string) bool {
	if len(p.pending) < maxPending/2 {
		return false
	}
	has := 0
	for _, x := range p.pending {
		if x.caller == caller {
			has++
		}
	}
	return has >= maxPending/10 || len(p.pending) >= maxPending
}

// token is the number as the child knows it.
func (x *exchange) token() mcp.Token { return strconv.AppendInt(nil, x.number, 10) }

// forward sends what gets no answer.
func (p *pipe) forward(ctx context.Context, m *mcp.Labelled, changes ...mcp.Change) error {
	return p.process.write(ctx, m.Relabel(changes...))
}

// cancel forgets a request and tells the child. An initialize must not be cancelled (MCP 2025-11-25, cancellation).
func (p *pipe) cancel(x *exchange) {
	if !p.drop(x.number) || x.ours || x.method == "initialize" {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = p.process.write(ctx, []byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":`+
		string(x.token())+`,"reason":"the client left"}}`)) // a child that has gone needs no telling
}

// drop forgets a request; it is false where that is done already.
func (p *pipe) drop(number int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.pending[number]
	delete(p.pending, number)
	return ok
}

// revoke gives up the requests of a session that ended; who waits for them tells the child.
func (p *pipe) revoke(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.pending {
		if x.session == s {
			x.to.leave()
		}
	}
}

// find returns the request that its caller knows by id: ids are a session's own.
func (p *pipe) find(s *session, id mcp.Token) *exchange {
	return p.newest(func(x *exchange) bool { return x.session == s && bytes.Equal(x.id, id) })
}

// newest returns the latest request under way that fits.
func (p *pipe) newest(fits func(*exchange) bool) *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found *exchange
	for _, x := range p.pending {
		if fits(x) && (found == nil || x.number > found.number) {
			found = x
		}
	}
	return found
}

// alone returns the only request under way on a child that has never served another caller: of a request that is over
// it may still say something.
func (p *pipe) alone() (only *exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.pending {
		if x.method == "subscriptions/listen" {
			continue // no log message belongs to one (MCP 2026-07-28, transports, "receiving messages")
		}
		if p.mixed || only != nil {
			return nil
		}
		only = x
	}
	return only
}

// abandon notes that its client left, so that nothing is concluded from a child that ends without a word.
func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
}

// underWay counts the requests.
func (p *pipe) underWay() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending)
}

// take reads one line of the child. What is no message is logged and passed over: some servers greet on stdout.
func (p *pipe) take(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	parts, _, err := mcp.ParseBatch(line)
	if err != nil {
		p.skip(line, err)
		return
	}
	for _, part := range parts {
		if part.Err != nil {
			p.skip(part.Relabel(), part.Err)
			continue
		}
		p.mu.Lock()
		p.spoke = true
		p.mu.Unlock()
		p.route(part.Labelled)
	}
}

func (p *pipe) skip(line []byte, err error) {
	if !p.process.quota.take() {
		return
	}
	p.log.Warn("line on stdout is no message", "error", err, "line", string(bytes.ToValidUTF8(line[:min(len(line), maxLogLine)], []byte("?"))))
}

// route gives a message to whom it is meant for.
func (p *pipe) route(m mcp.Labelled) {
	switch {
	case m.Kind == mcp.Response:
		p.answer(m)
	case m.Kind == mcp.Notification && m.Method == "notifications/progress":
		if x := p.at(m.Progress.Token); x != nil && x.progress != nil {
			x.to.put(message{line: m.Relabel(mcp.Change{Label: m.Progress, With: x.progress})}, p.used().patience)
		}
	case m.Kind == mcp.Notification && m.Subscription.Token != nil:
		if x := p.at(m.Subscription.Token); x != nil {
			x.to.put(message{line: m.Relabel(mcp.Change{Label: m.Subscription, With: x.id})}, p.used().patience)
		}
	default:
		p.used().stray(p, m)
	}
}

func (p *pipe) answer(m mcp.Labelled) {
	x := p.at(m.ID.Token)
	if x == nil || !p.drop(x.number) {
		if p.process.quota.take() {
			p.log.Warn("answer to nothing that was asked", "id", string(m.ID.Token[:min(len(m.ID.Token), 100)]))
		}
		return
	}
	line := m.Relabel(mcp.Change{Label: m.ID, With: x.id}, mcp.Change{Label: m.Subscription, With: x.id})
	x.to.put(message{line: line, of: x, failed: m.Failed}, p.used().patience)
}

// at returns the request with a number of ours. Only the number as it was sent is it: not "1", not 1.0.
func (p *pipe) at(t mcp.Token) *exchange {
	number, err := strconv.ParseInt(string(t), 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != string(t) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending[number]
}

// reply answers a request of the child's in the client's place. It does not wait: whoever reads the child's output must
// never wait for the child to read its input.
func (p *pipe) reply(m mcp.Labelled, rest string) {
	select {
	case p.replying <- struct{}{}:
	default:
		return // it asks faster than it listens
	}
	line := []byte(`{"jsonrpc":"2.0","id":` + string(m.ID.Token) + `,` + rest + `}`)
	go func() {
		defer func() { <-p.replying }()
		_ = p.process.write(context.Background(), line) // what it does not read is its own loss
	}()
}

// Answers that we give in a client's place.
const (
	replyPong   = `"result":{}`
	replyNobody = `"error":{"code":-32601,"message":"no client takes requests here"}`
)
