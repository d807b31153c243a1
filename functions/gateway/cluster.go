package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/knative/ingress"
)

// cluster is a deployer whose servers are behind an ingress, where a request wakes the one that it is for. Only what is
// missing there is asked of the deployer: to send costs less than to ask, and the gateway needs no right to wake.
type cluster interface {
	deployer
	// At is where an instance is or would be; nobody is asked.
	At(deploy.Key) deploy.Instance
	// State says what an instance does; that it is not awake holds for as long as trust says.
	State(ctx context.Context, key deploy.Key, trust time.Duration) (ingress.State, error)
	// Heard notes that an instance has just answered.
	Heard(deploy.Instance)
	// Warm makes the connection for State.
	Warm(context.Context) error
	// Seal hides a value of Authorization from everybody but the server's shim, whose answer has the proof.
	Seal(server, authorization string) (sealed, proof string)
	// SharedKey is what the gateway shares with a server's shim.
	SharedKey(server string) []byte
	// Dial connects to the ingress.
	Dial(context.Context) (net.Conn, error)
}

const (
	// ingressIdle is how long connections to the ingress are kept: less than any ingress keeps them.
	ingressIdle = 30 * time.Second
	// ingressLag is how long an ingress may not know of a service that is ready. It is tried forty times.
	ingressLag = 10 * time.Second
)

// behind takes a cluster's instances: they share one pool of connections, which goes to the ingress.
func (s *servers) behind(k cluster) {
	s.cluster, s.lag, s.slow = k, ingressLag, slowStart
	s.pool = &peer.Client{Dial: k.Dial, MaxIdleTime: ingressIdle}
	s.uses = uses{of: map[deploy.KeyID]*use{}, swept: time.Now()}
}

// through is an instance behind the ingress. It is never known to run: where it is does not depend on that.
func (s *servers) through(at deploy.Instance) *instance {
	return &instance{id: at.ID, host: at.Host, url: "http://" + at.Host, transport: s.pool}
}

// inCluster returns an instance if it does at least that much, nil else: then a request does not wake it. What cannot be told
// counts as asleep.
func (s *servers) inCluster(ctx context.Context, key deploy.Key, least ingress.State, trust time.Duration) *instance {
	state, err := s.cluster.State(ctx, key, trust)
	if err != nil || state < least {
		return nil
	}
	return s.through(s.cluster.At(key))
}

// wakes tells whether the call is one to wake a server for. What cannot be read is for the shim to refuse, if it is there.
func (c *call) wakes() bool {
	if c.resumes() {
		return true
	}
	if c.r.Method != http.MethodPost || c.listener() {
		return false
	}
	body, err := c.parse()
	return err == nil && asksWork(body)
}

// findInCluster returns the caller's instance if the call, which must not wake it, may be sent there. One without a request
// may be while the instance starts: its client may have been answered by it already, before the cluster says that it is
// there. All else would only wait, and keep an instance that does not get started from being given up. Pings are answered
// here once nobody calls any more.
func (s *servers) findInCluster(ctx context.Context, c *call) *instance {
	key := c.key()
	if c.polls() && !s.uses.within(key.ID(), window(c.entry)/2) {
		return nil // asked for again and again it would keep the instance awake: Knative counts every request
	}
	if c.r.Method == http.MethodPost && !c.listener() {
		body, err := c.parse()
		switch {
		case err == nil && len(body.RequestIDs()) == 0:
			return s.inCluster(ctx, key, ingress.Starting, asleepFor)
		case err == nil && !s.uses.within(key.ID(), window(c.entry)/2):
			return nil
		}
	}
	return s.inCluster(ctx, key, ingress.Awake, ingress.Fresh)
}

// strangerError is an answer that no shim gave: the ingress's, or one of the proxies' behind it.
type strangerError struct{ status int }

func (e *strangerError) Error() string {
	return fmt.Sprintf("the ingress or Knative answered %d, not the shim", e.status)
}

// refuseStranger ends an answer that is not to be had.
func refuseStranger(resp *http.Response) error {
	discard(resp)
	return &strangerError{resp.StatusCode}
}

// discard ends an answer. A short one is read, so that its connection stays of use.
func discard(resp *http.Response) {
	if n := resp.ContentLength; n >= 0 && n <= 4<<10 {
		_, _ = io.CopyN(io.Discard, resp.Body, n+1)
	}
	_ = resp.Body.Close()
}

// unknown tells whether the ingress or the activator knows no such service: then nothing was run.
func (e *strangerError) unknown() bool { return e.status == http.StatusNotFound }

// public is what the caller learns of it; its body, which may name addresses, stays here.
func (e *strangerError) public() *mcp.Error {
	p := &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: retryLater, Cause: e,
		Message: "The MCP server cannot be started now; try again"}
	switch {
	case e.status == http.StatusBadGateway:
		p.Message = "The MCP server cannot be reached now, or stopped before it answered; the call may have run"
	case e.status == http.StatusGatewayTimeout:
		p.Status, p.Message = e.status, "The MCP server did not answer in time"
	case e.status < 500 && !e.unknown():
		p.Status, p.Message = http.StatusBadGateway, "Something that is not the MCP server answered in its place"
	}
	return p
}

// errNotStarted says that an instance was not there when the time was over in which it may start.
var errNotStarted = errors.New("the server did not start in time")

// notStarted is the error of a call that ended while its instance was started.
func notStarted(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return errNotStarted
	}
	return cause
}

// wakeByAsking sends the call, which wakes the instance. One that the cluster does not have is made first, and one that this
// gateway never called may have been made just now.
func (s *servers) wakeByAsking(ctx context.Context, c *call, limits *limits) (resp *http.Response, err error) {
	at := s.through(s.cluster.At(c.key()))
	if !s.uses.within(c.key().ID(), forgetUse) {
		err = s.knock(ctx, c, at, false)
	}
	if err == nil {
		resp, err = s.sendThrough(ctx, c, at)
	}
	if !unknown(err) {
		return resp, s.lost(c, err)
	}
	if at, err = s.wake(ctx, c, limits); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		if err := s.knock(ctx, c, at, true); err != nil {
			return nil, s.lost(c, err)
		}
		resp, err = s.sendThrough(ctx, c, at)
		if !unknown(err) || time.Since(began) > s.lag {
			return resp, s.lost(c, err)
		}
		if err := pause(ctx, s.lag/40); err != nil {
			return nil, c.brokeOff(err)
		}
	}
}

// knock waits until the shim of an instance is heard. Its ingress may know a new one by half at first, and answer with errors
// that could be of a call that ran, so that the call itself could not be sent again; this one runs nothing. One that is made
// is waited for also while the ingress does not know it at all.
func (s *servers) knock(ctx context.Context, c *call, at *instance, made bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := s.await(ctx, c, cancel)
	var since time.Time // the first answer of somebody else
	var err error
	for {
		var stranger *strangerError
		if err = at.hear(ctx, c.server); !errors.As(err, &stranger) || stranger.unknown() && !made {
			break
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) > s.lag || pause(ctx, s.lag/40) != nil {
			break
		}
	}
	if !waiting.answered() {
		return context.Cause(ctx)
	}
	return err
}

// hear asks an instance's shim whether it is there. Whether the server behind it is, the call will tell.
func (i *instance) hear(ctx context.Context, server string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/readyz", nil)
	if err != nil {
		return err
	}
	r.Header["User-Agent"] = nil
	resp, err := i.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	if resp.Header.Get(mcp.HeaderShim) != mcp.ShimMark(server, "") {
		return refuseStranger(resp)
	}
	discard(resp)
	return nil
}

func unknown(err error) bool {
	var stranger *strangerError
	return errors.As(err, &stranger) && stranger.unknown()
}

// send sends the call to an instance, wherever that is.
func (s *servers) send(ctx context.Context, c *call, to *instance) (*http.Response, error) {
	if to.host != "" {
		return s.sendThrough(ctx, c, to)
	}
	return to.send(ctx, c, c.authorization())
}

// lost is the error of a call that got no answer, nil where there is none.
func (s *servers) lost(c *call, err error) error {
	switch {
	case err == nil:
		return nil
	case s.cluster != nil && nothingSent(err) && c.r.Context().Err() == nil:
		return unavailable("The MCP servers cannot be reached now; try again", err)
	}
	return c.brokeOff(err)
}

// gone tells whether an instance is no longer there: nobody takes its calls, or the ingress has not heard of it.
func (s *servers) gone(err error) bool { return unknown(err) || s.cluster == nil && nothingSent(err) }

// sendThrough sends the call to an instance behind the ingress, and gives it up where that does not start.
func (s *servers) sendThrough(ctx context.Context, c *call, to *instance) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	waiting := s.await(ctx, c, cancel)
	sealed, proof := s.cluster.Seal(c.server, c.authorization())
	resp, err := to.send(ctx, c, sealed)
	if !waiting.answered() {
		if err == nil {
			_ = resp.Body.Close()
		}
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) && !s.sees(c.key()) {
		err = notStarted(err)
	}
	if err == nil && resp.Header.Get(mcp.HeaderShim) != mcp.ShimMark(c.server, proof) {
		err = refuseStranger(resp)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	s.cluster.Heard(deploy.Instance{ID: to.id})
	if c.wakes() {
		s.uses.call(c.key().ID())
	}
	resp.Body = &endingBody{resp.Body, func() { cancel(nil) }}
	return resp, nil
}

// sees tells, of a call whose time is over, whether its instance is there. Where nobody can say so it counts as there: the
// call may have run.
func (s *servers) sees(key deploy.Key) bool {
	ctx, cancel := context.WithTimeout(context.Background(), reserve/4)
	defer cancel()
	state, err := s.cluster.State(ctx, key, asleepFor)
	return err != nil || state == ingress.Awake
}

// endingBody ends the context of its exchange with itself.
type endingBody struct {
	io.ReadCloser
	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
