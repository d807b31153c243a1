// Package peer is an HTTP/1.1 client for one address: the shim of a server, or the server of a shim.
//
// It does the work of a call in the caller's goroutine. http.Transport hands each request to a goroutine that writes
// and each answer from one that reads; on a machine with few cores these hand-overs cost more than the rest of a proxy.
// What is needed of HTTP is left to net/http (Request.Write, ReadResponse). It follows no redirect, keeps no cookie, and
// never sends a request twice. Trailers are lost. Whether a connection is encrypted is the dialler's business.
package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of what a peer may cost.
const (
	maxHead = 256 << 10 // bytes of an answer's status line and headers, interim answers included
	maxIdle = 128       // connections kept

	readBuffer   = 4 << 10 // bytes; longer reads go past it
	streamBuffer = 512     // bytes, while a stream of events is read; it must hold a chunk's size and extension
)

// Client sends requests to one address. It is an http.RoundTripper; it needs no closing but of its idle connections.
type Client struct {
	// Dial connects to the peer.
	Dial func(context.Context) (net.Conn, error)
	// MaxIdleTime is how long a connection is kept that nobody uses; 0: until the peer closes it. That is seen at once
	// on this machine. From far away it is seen too late now and then, and the call that was sent meanwhile is lost: such
	// a peer's connections must go before the peer closes them.
	MaxIdleTime time.Duration

	mu   sync.Mutex
	idle []*conn // last used last
}

// conn is a connection that serves one exchange at a time.
type conn struct {
	net.Conn
	client *Client
	in     *bufio.Reader
	head   int       // bytes that may still be read before the answer's head is over; negative: no limit
	idle   time.Time // since when, where MaxIdleTime is set
}

// errHead is returned for an answer whose headers do not end.
var errHead = fmt.Errorf("the answer's headers have more than %d bytes", maxHead)

// Read implements io.Reader for in, within the limit of a head.
func (c *conn) Read(p []byte) (int, error) {
	if c.head == 0 {
		return 0, errHead
	}
	if c.head > 0 && len(p) > c.head {
		p = p[:c.head]
	}
	n, err := c.Conn.Read(p)
	if c.head > 0 {
		c.head -= n
	}
	return n, err
}

// RoundTrip implements http.RoundTripper. When ctx of the request ends, so does the exchange, and reading the answer
// fails with the context's error. An error of dialling is the dialler's: then the peer saw nothing.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err // on an idle connection it would still go out
	}
	k, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	// In the past, so that whatever is blocked returns at once.
	stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
	resp, err := k.exchange(r)
	if err != nil {
		stop()
		_ = k.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	// net/http's body holds resp for its trailers, of which nobody asks here. Emptied, it does not hold request and headers
	// as long as a listener waits.
	answer := *resp
	*resp = http.Response{}
	answer.Body = &body{ReadCloser: answer.Body, conn: k, ctx: ctx, stop: stop, reuse: !answer.Close && !r.Close,
		stream: strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream")}
	return &answer, nil
}

// connect takes an idle connection that still stands, or makes one.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	c.expire()
	for {
		c.mu.Lock()
		last := len(c.idle) - 1
		if last < 0 {
			c.mu.Unlock()
			break
		}
		k := c.idle[last]
		c.idle = c.idle[:last]
		c.mu.Unlock()
		if k.stands() {
			return k, nil
		}
		_ = k.Close()
	}
	return c.dial(ctx)
}

func (c *Client) dial(ctx context.Context) (*conn, error) {
	nc, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	k := &conn{Conn: nc, client: c}
	k.in = bufio.NewReaderSize(k, readBuffer)
	return k, nil
}

// Warm makes a connection that the next request finds idle.
func (c *Client) Warm(ctx context.Context) error {
	k, err := c.dial(ctx)
	if err == nil {
		k.release()
	}
	return err
}

// shrink gives most of the buffer back, which must be empty: what reads an answer from it knows it by its address. A
// stream of events holds it while nothing comes, and thousands of listeners do.
func (k *conn) shrink() { *k.in = *bufio.NewReaderSize(k, streamBuffer) }

// writers are lent to requests while they are written: thousands of listeners wait and write nothing.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 16<<10) }}

// send writes the request.
func (k *conn) send(r *http.Request) error {
	out := writers.Get().(*bufio.Writer)
	out.Reset(k.Conn)
	defer func() {
		out.Reset(nil)
		writers.Put(out)
	}()
	if err := r.Write(out); err != nil {
		return err
	}
	return out.Flush()
}

// lastWords is how long an answer is waited for after the peer stopped reading the request.
const lastWords = time.Second

// exchange writes the request and reads the answer's head. A peer may answer before it has read all, and close: then
// writing fails, and the answer is there all the same.
func (k *conn) exchange(r *http.Request) (*http.Response, error) {
	failed := k.send(r)
	if failed == nil {
		return k.answer(r)
	}
	if r.Context().Err() == nil {
		_ = k.SetReadDeadline(time.Now().Add(lastWords))
		if resp, err := k.answer(r); err == nil {
			resp.Close = true
			return resp, nil
		}
	}
	return nil, fmt.Errorf("send request: %w", failed)
}

func (k *conn) answer(r *http.Request) (*http.Response, error) {
	k.head = maxHead
	for {
		resp, err := http.ReadResponse(k.in, r)
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				err = errors.New("the connection ended before the answer")
			}
			return nil, fmt.Errorf("read answer: %w", err)
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("read answer: the peer switched protocols")
		}
		if resp.StatusCode >= 200 { // RFC 9110 §15.2: interim answers come before
			k.head = -1
			return resp, nil
		}
	}
}

// expire closes connections that were not used for MaxIdleTime.
func (c *Client) expire() {
	if c.MaxIdleTime <= 0 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	n := 0
	for n < len(c.idle) && !within(now.Sub(c.idle[n].idle), c.MaxIdleTime) { // those used longest ago come first
		n++
	}
	expired := slices.Clone(c.idle[:n])
	c.idle = slices.Delete(c.idle, 0, n)
	c.mu.Unlock()
	for _, k := range expired {
		_ = k.Close()
	}
}

// within is false for a time that is to come, too: the clock was set back.
func within(age, most time.Duration) bool { return age >= 0 && age < most }

// CloseIdleConnections closes what no exchange uses.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	for _, k := range idle {
		_ = k.Close()
	}
}

// release keeps a connection whose exchange is over, unless something is left in it: the peer said more than it was
// asked, and the next caller must not take that for an answer.
func (k *conn) release() {
	if k.in.Buffered() > 0 {
		_ = k.Close()
		return
	}
	if k.in.Size() < readBuffer {
		*k.in = *bufio.NewReaderSize(k, readBuffer)
	}
	c := k.client
	if c.MaxIdleTime > 0 {
		k.idle = time.Now().Round(0) // by the wall's clock: it may be used next after the process was frozen for long
		c.expire()
	}
	c.mu.Lock()
	full := len(c.idle) == maxIdle
	if !full {
		c.idle = append(c.idle, k)
	}
	c.mu.Unlock()
	if full {
		_ = k.Close()
	}
}

// body is the answer's body. Its end gives the connection back, anything else closes it.
type body struct {
	io.ReadCloser
	conn   *conn
	ctx    context.Context
	stop   func() bool
	reuse  bool
	stream bool // of events, whose connection has the buffer of other answers
	over   bool
	err    error // that ended it
}

// Read implements io.Reader. A body that breaks off is never a clean end: net/http says io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (int, error) {
	if b.over {
		return 0, b.err
	}
	if b.stream && b.conn.in.Buffered() == 0 {
		b.stream = false
		b.conn.shrink()
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && b.ctx.Err() != nil {
		err = b.ctx.Err()
	}
	b.finish(err)
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	if !b.over {
		b.finish(errors.New("read after close"))
	}
	return nil
}

func (b *body) finish(err error) {
	b.over, b.err = true, err
	// A context that ended has set a deadline, or is about to: the connection cannot be used again.
	if b.stop() && err == io.EOF && b.reuse {
		b.conn.release()
		return
	}
	_ = b.conn.Close()
}
