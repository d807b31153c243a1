// Package forward is the shim's last stage: it sends the exchange to the MCP server and streams the answer back, as
// the bytes it came in but for sealed session ids and filtered lists.
//
// It decides nothing but where a remote server may be (package egress), leaves what the eras of the protocol differ in to
// package era, and sends no request twice, but where the server
// redirects it within its origin, or refuses the exchanged token and there is another one.
package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mcpgateway/internal/beat"
	"mcpgateway/internal/egress"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ear"
	"mcpgateway/shim/era"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/replay"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
)

// Config is what a Forwarder needs.
type Config struct {
	Upstream    *url.URL          // the server's endpoint: http, unix with the path of its socket, or https where it is remote
	Remote      *remote.Remote    // how to reach it where it runs elsewhere; nil: it is beside the shim
	Sealer      *session.Sealer   // for its session ids; nil: none of them passes
	Living      *session.Living   // has sessions outlive the server; nil: they do not. Needs a Sealer
	States      *state.Keeper     // has what their clients asked for outlive it too; nil: it does not. Needs Living
	Eras        *era.Translator   // for clients of another era than the server's; nil: they get its own answer
	Authorize   authorize.Checker // for what its answers may show
	CallTimeout time.Duration     // longest exchange where the rules do not say, and of listeners
	Silence     time.Duration     // after which a listener's leg is ended
	Draining    context.Context   // ends listeners' legs when the shim stops
	// Outgoing is told of each request to the server, and when its answer begins or does not.
	Outgoing func(ctx context.Context, name string) (_ context.Context, began func(error))
	// Busy tells whether there was a call within a time; where it is nil, there never was.
	Busy func(within time.Duration) bool
	// Review returns what looks at an answer's messages before they leave (filter.Stage.Answers); nil: nobody does.
	Review func(context.Context, *call.Exchange) func(data []byte) (next []byte, refused bool, err error)
}

// Forwarder sends exchanges to one server.
type Forwarder struct {
	Config
	endpoint  string // what requests are for
	origin    string // where a remote server is; empty: beside the shim
	transport *peer.Client
	legs      *legs
	replay    *replay.Keeper
	ears      *ear.Ears
	named     *atomic.Bool // the server gives events ids of its own
}

// New makes a Forwarder.
func New(c Config) (*Forwarder, error) {
	if c.Upstream == nil || c.Living != nil && c.Sealer == nil || c.States != nil && c.Living == nil || c.Authorize.Tasks == nil || c.Authorize.Logger == nil || c.CallTimeout <= 0 || c.Silence <= 0 ||
		c.Draining == nil || c.Outgoing == nil {
		return nil, errors.New("forward: every field but Remote, Sealer, Living, States, Eras, Busy and Review is required, a Sealer for Living, and that for States")
	}
	client, endpoint, err := c.reach()
	if err != nil {
		return nil, err
	}
	f := &Forwarder{Config: c, endpoint: endpoint, transport: client, legs: &legs{of: map[session.Name]*leg{}},
		replay: replay.NewKeeper(), named: new(atomic.Bool)}
	f.ears = ear.New(f.replay, c.CallTimeout, f.named)
	context.AfterFunc(c.Draining, f.ears.Close)
	if c.Remote != nil {
		f.origin, err = egress.Origin(c.Upstream)
	}
	return f, err
}

// Ready tells whether the server accepts connections. A remote server is always taken to: whether it does is for its
// callers to find out, and no wake waits for somebody far away.
func (f *Forwarder) Ready(ctx context.Context) error {
	if f.Remote != nil {
		return nil
	}
	conn, err := f.transport.Dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Forward sends the exchange and the answer. An error is returned only where nothing of an answer was sent; one that
// breaks off later aborts the connection, so that the caller never takes it for whole.
func (f *Forwarder) Forward(x *call.Exchange) error {
	if f.Sealer != nil && x.Resumes() {
		return f.resume(x)
	}
	ctx, cancel, unfollow := f.lifetime(x)
	defer cancel(nil)
	if f.Draining.Err() != nil && x.Listener() {
		cancel(errDraining)
	}
	if f.hears(x) || x.Listener() && x.Sealed != nil && x.Request.Header.Get(mcp.HeaderSupersede) != "" {
		defer f.legs.take(x.Sealed.Name, cancel)()
	}
	asked, began := f.Outgoing(ctx, "server")
	resp, err := f.answered(asked, x)
	if began(err); err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := f.head(x, resp); err != nil {
		return err
	}
	a := &answer{exchange: x, response: resp, out: http.NewResponseController(x.Writer), authorize: f.Authorize,
		lists: authorize.Filtered(x), tasks: authorize.StartsTasks(x), wishes: f.wishes(x)}
	if f.Review != nil {
		a.review = f.Review(ctx, x)
	}
	if mcp.IsStream(resp.Header) {
		if x.Listener() {
			// What it will hear is not known, but that somebody listens is: nothing is heard before that is recorded.
			if x.Rules.Audit.Required {
				if held := a.record(nil); held != nil {
					return held
				}
			}
			stop := f.silence(ctx, a, cancel)
			defer stop()
			a.response = &http.Response{StatusCode: resp.StatusCode, Body: resp.Body} // without headers, which wait as long
			x.Detach(resp.StatusCode, func() { cancel(nil) }, func() { unfollow() })
		}
		if f.Living != nil && x.Sealed != nil {
			a.news = f.Living.TakeNews(x.Sealed)
		}
		if a.kept = f.keep(x); a.kept != nil {
			a.named = f.named
			defer a.kept.End()
		}
		return a.events(ctx)
	}
	return a.body()
}

var (
	errDraining = errors.New("the shim stops")
	errSilent   = errors.New("the listener was silent")
	errOlder    = errors.New("a newer listener took the place")
)

// endings are what a listener's leg ends with when we end it, by the reason.
var endings = map[error]string{errDraining: mcp.SilenceComment, errSilent: mcp.SilenceComment, errOlder: mcp.SupersededComment}

// lifetime is how long the server may work on the exchange. In the modern era a caller that leaves cancels its
// request; in the legacy era that is expressly no cancellation (MCP 2025-11-25, transports, "sending messages"). A
// listener's goes with its request's context until unfollow is called, for that ends when the connection is taken over; the
// unfollow of others is nil.
func (f *Forwarder) lifetime(x *call.Exchange) (ctx context.Context, cancel context.CancelCauseFunc, unfollow func() bool) {
	inbound := x.Request.Context()
	if !x.Listener() {
		if x.Era == mcp.Legacy {
			inbound = context.WithoutCancel(inbound)
		}
		timed, stop := context.WithTimeout(inbound, f.callTimeout(x))
		ctx, end := context.WithCancelCause(timed)
		return ctx, func(cause error) { end(cause); stop() }, nil
	}
	timed, stop := context.WithTimeout(context.WithoutCancel(inbound), f.CallTimeout) // in its trace
	ctx, end := context.WithCancelCause(timed)
	unfollow = context.AfterFunc(inbound, func() { end(context.Cause(inbound)) })
	unhook := context.AfterFunc(f.Draining, func() { end(errDraining) })
	return ctx, func(cause error) { end(cause); unfollow(); unhook(); stop() }, unfollow
}

// callTimeout is the gateway's limit too: with a longer one here the server would work on for nobody, with a shorter one its
// answer would be cut off. The gateway's ends first, since it says so to the client.
func (f *Forwarder) callTimeout(x *call.Exchange) time.Duration {
	if rule := x.Rules.Rules.CallTimeout; rule > 0 {
		return rule + gatewayFirst
	}
	return f.CallTimeout
}

// gatewayFirst is how much longer a call may take here than at the gateway.
const gatewayFirst = time.Second

// request is built anew: nothing of the inbound request goes on but what is listed.
func (f *Forwarder) request(ctx context.Context, x *call.Exchange, endpoint string) (*http.Request, error) {
	var body io.Reader
	if x.Request.Method == http.MethodPost {
		body = bytes.NewReader(x.Body)
	}
	r, err := http.NewRequestWithContext(ctx, x.Request.Method, endpoint, body)
	if err != nil {
		return nil, broken(err)
	}
	mcp.ForwardRequestHeaders(r.Header, x.Request.Header)
	telemetry.Leave(ctx, r.Header)
	r.Header["User-Agent"] = nil
	if strings.HasPrefix(r.Header.Get("Last-Event-Id"), mcp.ListenPrefix) {
		delete(r.Header, "Last-Event-Id") // the server knows nothing of it
	}
	delete(r.Header, mcp.HeaderSession)
	if x.Session != "" {
		r.Header.Set(mcp.HeaderSession, x.Session)
	}
	if f.Upstream.Scheme == "unix" {
		r.Header[call.HeaderCaller] = []string{x.Caller()}
	}
	if err := x.Credential.Set(r.Header, f.origin); err != nil {
		return nil, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Cause: err, RetryAfter: time.Second,
			Message: "The server was moved and is being started anew; try again"}
	}
	return r, nil
}

// head checks the answer's status and sends its headers on.
func (f *Forwarder) head(x *call.Exchange, resp *http.Response) error {
	switch s := resp.StatusCode; {
	case s >= 300 && s < 400, s == http.StatusUnauthorized, s == http.StatusProxyAuthRequired:
		// Its sign-in is not the caller's: passed on, it would send the caller to a stranger.
		return broken(fmt.Errorf("the server answered %s", resp.Status))
	case resp.Header.Get("Content-Encoding") != "":
		return broken(errors.New("the server answered with a content encoding"))
	}
	h := x.Writer.Header()
	mcp.ForwardResponseHeaders(h, resp.Header)
	delete(h, mcp.HeaderSession)
	if id := resp.Header.Get(mcp.HeaderSession); id != "" && x.Era == mcp.Legacy && f.Sealer != nil {
		sealed, err := f.seal(x, resp, id)
		if err != nil {
			return broken(err)
		}
		x.Session = id
		h[mcp.HeaderSession] = []string{sealed}
	}
	return nil
}

// seal is the id that the caller gets. Many servers name the session in every answer; sealed anew it would look like
// another one, and clients that compare give up.
func (f *Forwarder) seal(x *call.Exchange, resp *http.Response, id string) (string, error) {
	if x.Sealed != nil && id == x.Session {
		return x.Request.Header.Get(mcp.HeaderSession), nil
	}
	s := session.Session{ID: id, Opened: time.Now()}
	if f.Living != nil {
		s.Life = f.Living.Life()
		switch {
		case x.Initializes():
			s.Introduction = introduced(x, resp)
		case x.Sealed != nil:
			s.Introduction = x.Sealed.Introduction
		}
	}
	return f.Sealer.Seal(s, x.Who.Issuer, x.Who.Subject)
}

// silence ends a listener's leg when nothing was said for a while and nobody called, so that an open connection keeps
// nobody awake. The while is up to a third shorter than configured: the legs that listeners opened together do not end
// together.
func (f *Forwarder) silence(ctx context.Context, a *answer, cancel context.CancelCauseFunc) (stop func() bool) {
	patience := f.Silence - rand.N(f.Silence/3+1)
	var timer *time.Timer
	restart := func() { timer.Reset(beat.Within(patience, f.Silence/100)) }
	timer = time.AfterFunc(time.Hour, func() {
		if ctx.Err() == nil && f.Busy != nil && f.Busy(patience) {
			restart() // others keep the server awake: a leg that ended would only be opened again
			return
		}
		cancel(errSilent)
	})
	restart() // now that the function can know the timer
	a.heard = restart
	return timer.Stop
}

func broken(err error) error {
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: err,
		Message: "The MCP server sent no proper answer; whoever runs this gateway finds the cause in its log"}
}

// unreachable is the error of an exchange that got no answer.
func unreachable(x *call.Exchange, err error) error {
	var unreached *remote.UnreachedError
	switch {
	case x.Request.Context().Err() != nil && (x.Era == mcp.Modern || x.Listener()):
		return &mcp.Error{Status: mcp.StatusClientLeft, Code: mcp.CodeUnavailable, Message: "The client left", Cause: err}
	case errors.As(err, &unreached):
		// Why is in the log: where a name leads is not for callers to know.
		return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: err,
			Message: "The MCP server cannot be reached; nothing was sent to it. Try again, or tell whoever runs this gateway"}
	case errors.Is(err, context.DeadlineExceeded):
		return &mcp.Error{Status: http.StatusGatewayTimeout, Code: mcp.CodeUnavailable, Cause: err,
			Message: "The MCP server did not answer in time"}
	}
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: err,
		Message: "The MCP server ended the connection without an answer; the call may have run"}
}
