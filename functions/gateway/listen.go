package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// maxEvent bounds one event of a listening stream, in bytes.
const maxEvent = 32 << 20

// listening is a client's listening stream: it ends here, and its legs to the server come and go. A leg keeps no
// server awake, and a server that sleeps has nothing to say.
type listening struct {
	g      *gateway
	c      *call
	out    *eventWriter
	legs   int
	lastID []byte      // of the last event with an id: where the next leg goes on
	silent bool        // the last leg ended because nothing was to be said
	acked  bool        // the client was told what it will hear of
	quiet  *time.Timer // ends a leg on which nothing is said; nil where it may be silent
}

// listen serves a listening stream until the client leaves, its token expires, the documents say that the client may
// listen no more, or the server ends it. A stream of the modern era wakes the server once, to be acknowledged
// (MCP 2026-07-28, subscriptions); one of the legacy era never. Where every moment of it is paid for, no stream wakes
// anything, and all of them end.
func (g *gateway) listen(c *call) error {
	if c.entry.Listen == "off" && !c.mayResume() {
		return g.declineListener(c)
	}
	if c.metered() && c.r.Method == http.MethodPost {
		if err := c.checkSubscription(); err != nil {
			return err
		}
	}
	// Whoever listened before may have left unnoticed. (The rest of a call's answer is another stream.)
	c.supersedes = c.metered() && c.entry.Listen == "hold" && !c.mayResume()
	ctx, cancel := context.WithDeadline(g.leaving, c.bound(c.who.Expiry))
	defer cancel()
	defer g.listeners.add(g, c, cancel)()
	unhook := context.AfterFunc(c.r.Context(), cancel)
	defer unhook()
	resp, err := g.servers.ask(ctx, c)
	if resp == nil && err == nil && c.r.Method == http.MethodPost && !c.metered() {
		resp, err = g.servers.wakeAndAsk(ctx, c, g.limits)
	}
	if err != nil {
		return err
	}
	if resp != nil && !isStream(resp) {
		return g.answer(c, resp)
	}
	c.beginListening(resp)
	if stream := c.handoff.Take(c.w, c.r, cancel); stream != nil {
		unhook() // the context ends with the handler, which is the next to happen
		c.w = stream
		c.r = &http.Request{Method: c.r.Method, URL: c.r.URL, Header: c.r.Header, RemoteAddr: c.r.RemoteAddr}
		c.handoff.Release()
	}
	l := &listening{g: g, c: c, out: newEventWriter(c, g.keepAlive)}
	defer l.out.stop()
	if c.metered() {
		l.meter(ctx, cancel, resp)
	} else {
		l.follow(ctx, resp)
	}
	return nil
}

// beginListening sends the head of a listening stream; resp is the answer of its first leg, nil where there is none.
func (c *call) beginListening(resp *http.Response) {
	h := c.w.Header()
	if resp != nil {
		mcp.ForwardResponseHeaders(h, resp.Header)
	}
	streamHeaders(h)
	h.Set("Connection", "close")
	c.begin(http.StatusOK)
}

// streamHeaders are those of a stream of events of our own, which nobody on the way is to keep or to gather.
func streamHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
}

// follow goes from leg to leg. It is true where the stream is over: the client left, or the server knows it no longer, which
// the next request tells; and false where its time is.
func (l *listening) follow(ctx context.Context, resp *http.Response) (over bool) {
	for {
		if resp != nil && l.relay(resp) {
			return true
		}
		var err error
		if resp, err = l.next(ctx); err != nil {
			return errors.Is(err, errEnded)
		}
	}
}

func isStream(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK && mcp.IsStream(resp.Header)
}

// relay passes the events of one leg on. It is true where the server itself ended the stream, or the client did.
func (l *listening) relay(resp *http.Response) (ended bool) {
	defer resp.Body.Close()
	l.legs++
	events := mcp.NewEventReader(resp.Body, maxEvent)
	acknowledged := !l.acked && l.legs == 1 || l.c.r.Method == http.MethodGet
	l.silent = false
	for {
		e, err := events.Next()
		if err != nil {
			return !l.silent && errors.Is(err, io.EOF) && l.out.write(e.Raw) == nil
		}
		if l.silent = string(e.Raw) == mcp.SilenceComment; l.silent {
			continue
		}
		if string(e.Raw) == mcp.SupersededComment {
			l.farewell(neverAgain)
			return true
		}
		if !acknowledged && len(e.Data) > 0 {
			acknowledged = true // the client got the first leg's, and there must not be two
			continue
		}
		if e.ID != nil {
			l.lastID = e.ID
		}
		if l.acked = l.acked || len(e.Data) > 0; l.quiet != nil {
			l.quiet.Reset(pollQuiet)
		}
		if l.out.write(e.Raw) != nil {
			return true
		}
	}
}

// errEnded says that the server does not go on with the stream.
var errEnded = errors.New("the server ended the stream")

// next waits until the server is awake again, and opens the next leg.
func (l *listening) next(ctx context.Context) (*http.Response, error) {
	if len(l.lastID) > 0 && l.c.r.Method == http.MethodGet {
		l.c.r.Header["Last-Event-Id"] = []string{string(l.lastID)}
	}
	if l.silent {
		if err := l.g.servers.rest(ctx, l.c); err != nil {
			return nil, err
		}
	}
	for {
		wait := l.g.poll
		resp, err := l.g.servers.ask(ctx, l.c)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil && resp == nil:
			if err := l.g.servers.awaitWake(ctx, l.c, l.g.poll); err != nil {
				return nil, err
			}
			wait = 0
		case err == nil && isStream(resp):
			return resp, nil
		case err == nil:
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusConflict && resp.StatusCode < 500 {
				return nil, errEnded
			}
		}
		// Apart, so that a thousand do not come at once.
		if err := pause(ctx, wait+rand.N(l.g.poll/2)); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
