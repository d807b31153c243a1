package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/shim/authenticate"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/call"
	"mcpgateway/shim/filter"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/observe"
	"mcpgateway/shim/publish"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
	"mcpgateway/shim/trail"
	"mcpgateway/shim/wake"
)

// chain is the path of every exchange through the shim.
type chain struct {
	rules        *ruleset.Holder
	gateway      *sealedtoken.Sealer // nil where tokens come as they are
	authenticate authenticate.Checker
	authorize    authorize.Checker
	sealer       *session.Sealer    // nil where there are no sessions
	living       *session.Living    // nil where sessions end with their server
	states       *state.Keeper      // nil where what their clients asked for ends with it
	lists        *lists.Key         // opens ids that the gateway gave; nil where it gives none
	publisher    *publish.Publisher // nil where nothing is left for the gateway
	filters      *filter.Stage
	forward      *forward.Forwarder
	calls        *wake.Counter
	observe      *observe.Observer
	detached     *detach.Holder // of listeners, of which net/http knows no more
	trail        *trail.Trail
	log          *slog.Logger
}

// ServeHTTP lets an exchange through the stages. Audit stands around all of them, so that refusals are recorded too.
func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := call.Begin(w, r, c.rules.Current(), c.trail)
	if !x.MayListen() {
		c.serve(x)
		return
	}
	c.detached.Serve(func(h *detach.Handoff) {
		x.Handoff = h
		c.serve(x)
	})
}

// serve answers an exchange, whatever happens.
func (c *chain) serve(x *call.Exchange) {
	defer c.observe.Exchange(x)()
	defer c.recover(x)
	if err := c.run(x); err != nil {
		c.refuse(x, elicit(x, err))
	}
}

// run is the order of the stages, and why it is this one.
func (c *chain) run(x *call.Exchange) error {
	for _, stage := range []func(*call.Exchange) error{
		c.open,               // what the gateway sealed: whatever the answer, it proves that it is this shim's
		c.address,            // is it for this server? A stray request gets no further
		c.authenticate.Check, // who calls, and may they be here: before a byte of the body is read
		c.read,               // the body, once and strictly: all later stages decide on the same reading
		c.match,              // headers say what the body says: whoever routed by them was not lied to
		c.session,            // the session is the caller's own
		c.authorize.Check,    // every message is allowed
		call.Recordable,      // its record can be made, where there must be one: before anything runs
		c.filter,             // those who are asked about it let it pass, or change it: only what may be sent is shown to them
		c.exchange,           // what the server is sent in the token's place: only for what may go there
		c.send,               // to the server, and the answer back
	} {
		if err := stage(x); err != nil {
			return err
		}
	}
	return nil
}

// open puts the caller's token where the sealed one is. One that is sealed otherwise is a token like any other that is not
// good, and nothing is proved to who sent it.
func (c *chain) open(x *call.Exchange) error {
	value := x.Request.Header.Get("Authorization")
	if c.gateway == nil || !sealedtoken.Sealed(value) {
		return nil
	}
	token, proof, err := c.gateway.Open(value)
	if err != nil {
		c.log.Warn("a token cannot be opened", "request", x.RequestID(), "error", err)
		return nil
	}
	x.Request.Header.Set("Authorization", token)
	x.Prove(proof)
	return nil
}

func (c *chain) address(x *call.Exchange) error {
	if x.Request.URL.Path != "/mcp-connect/"+x.Rules.Rules.Server {
		return mcp.NotAdmitted(errors.New("the request is for another server"))
	}
	switch x.Request.Method {
	case http.MethodPost, http.MethodGet, http.MethodDelete:
	default:
		return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest,
			Message: "Use POST, GET or DELETE", Header: http.Header{"Allow": {"POST, GET, DELETE"}}}
	}
	if err := mcp.CheckHeaders(x.Request); err != nil {
		return err
	}
	return nil
}

func (c *chain) read(x *call.Exchange) error {
	if x.Request.Method != http.MethodPost {
		return nil
	}
	var err error
	if x.Body, err = mcp.ReadBody(x.Request); err != nil {
		return err
	}
	x.MCP, err = mcp.Parse(x.Body)
	return err
}

func (c *chain) match(x *call.Exchange) error {
	if x.Request.Method == http.MethodPost {
		if err := mcp.CheckMatch(x.Request.Header, x.MCP); err != nil {
			return err
		}
	}
	return nil
}

// session opens the caller's session id. The modern era has none: what is sent is ignored (MCP 2026-07-28, transports).
func (c *chain) session(x *call.Exchange) error {
	sealed := x.Request.Header.Get(mcp.HeaderSession)
	if sealed == "" || x.Era == mcp.Modern || c.sealer == nil {
		return nil
	}
	opened, err := c.openSession(sealed, x.Who)
	if err != nil {
		return x.NoSession(err)
	}
	if c.living != nil && c.living.Ended(opened) ||
		c.states != nil && c.states.Ended(x.Request.Context(), opened, state.Caller{Issuer: x.Who.Issuer, Subject: x.Who.Subject}) {
		return x.NoSession(errors.New("the client ended it"))
	}
	x.Sealed, x.Session = opened, opened.ID
	return nil
}

// openSession opens an id. One that the gateway gave while the server slept is of a session that the server does not know yet:
// it is begun like one that began in another life, and its client keeps the id.
func (c *chain) openSession(id string, who identity.Identity) (*session.Session, error) {
	if c.lists == nil || c.living == nil || !lists.IsSession(id) {
		return c.sealer.Open(id, who.Issuer, who.Subject)
	}
	s, err := c.lists.OpenSession(id, who.Issuer, who.Subject, time.Now())
	if err != nil {
		return nil, err
	}
	return &session.Session{Name: lists.SessionName(id), Opened: s.Opened, Introduction: session.Introduction{Params: s.Params, Version: s.Version, Answer: s.Answer}}, nil
}

func (c *chain) exchange(x *call.Exchange) (err error) {
	if x.Work() {
		defer c.calls.Begin()()
	}
	if x.Credential, err = credential(x); err != nil {
		x.Exchanged = "failed"
	} else if x.Credential != nil {
		x.Exchanged = "ok"
	}
	return err
}

// filter has filters look at the messages. What one of them changed is a request like any other, and decided on again.
func (c *chain) filter(x *call.Exchange) error {
	if x.Work() {
		defer c.calls.Begin()()
	}
	changed, err := c.filters.Requests(x)
	if err != nil || !changed {
		return err
	}
	if err := c.match(x); err != nil {
		return err
	}
	return c.authorize.Check(x)
}

func (c *chain) send(x *call.Exchange) error {
	if x.Work() {
		defer c.calls.Begin()()
	}
	return c.forward.Forward(x)
}

// refuse answers in the server's place.
func (c *chain) refuse(x *call.Exchange, err error) {
	e := mcp.AsError(err)
	outcome := audit.OutcomeOf(e.Status)
	if outcome == audit.Failed {
		c.log.Warn("exchange failed", "request", x.RequestID(), "error", err)
	}
	clear(x.Writer.Header())
	body := e.Body(x.RequestID())
	x.Answers(body)
	_ = x.Record(outcome, e.Status, err) // what is refused waits for no record
	e.WriteBody(x.Writer, body)
}

// recover turns a bug into a 500 where nothing was sent yet. http.ErrAbortHandler is no bug: it cuts an answer off.
func (c *chain) recover(x *call.Exchange) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	c.log.Error("panic", "request", x.RequestID(), "panic", p, "stack", string(debug.Stack()))
	if x.Begun() {
		_ = x.Record(audit.Failed, http.StatusInternalServerError, errors.New("internal error")) // nothing more is sent
		panic(http.ErrAbortHandler)
	}
	c.refuse(x, errors.New("internal error"))
}

// statesDrain is for what the session store has not taken yet when the shim leaves.
const statesDrain = 3 * time.Second

// leaveStates has the session store take what it has not yet.
func (c *chain) leaveStates() {
	if c.states == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), statesDrain)
	defer cancel()
	c.states.Close(ctx)
}

// readyz says whether the server behind can be asked, and the filters beside it.
func (c *chain) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header()[mcp.HeaderShim] = []string{c.rules.Current().Rules.Server} // who wakes it for nothing sees that it was reached
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := errors.Join(c.forward.Ready(ctx), c.filters.Ready(ctx)); err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	c.calls.Ready()
	_, _ = io.WriteString(w, "ready\n")
}
