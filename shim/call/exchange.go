// Package call is what the shim's stages hand on to each other: one HTTP exchange, read once.
//
// It decides nothing. Every stage gets the Exchange as an argument and adds what it found out; nothing travels in a
// context.
package call

import (
	"net/http"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/trail"
)

// Exchange is one request and its answer on the way.
type Exchange struct {
	Writer  http.ResponseWriter
	Request *http.Request
	Era     mcp.Era

	Rules *ruleset.Set      // in force when the exchange began, and to its end
	Who   identity.Identity // set by authenticate
	Token secret.Text       // the caller's, set by authenticate: for what is made of it, and never for the server
	Body  []byte            // the request's bytes; empty for GET and DELETE
	MCP   mcp.Body          // what they say

	Credential *exchange.Credential // what the server is sent in the token's place; nil: nothing

	Sealed    *session.Session // what the caller's session id says; nil without one
	Session   string           // the server's own id of it, now; empty without one
	Policy    string           // that decided last
	Decision  audit.Decision   // of the policies; empty where they were not asked
	Reviews   []audit.Verdict  // of the filters, in the order in which they were asked; see Review
	Exchanged string           // what became of the token exchange; empty where there was none

	Handoff *detach.Handoff // of what MayListen; nil where the connection stays net/http's

	head     *head
	began    time.Time
	trail    *trail.Trail
	start    audit.Start
	answer   answer
	recorded bool
	outcome  audit.Outcome // once recorded, with status
	status   int
}

// Begin starts an exchange.
func Begin(w http.ResponseWriter, r *http.Request, rules *ruleset.Set, t *trail.Trail) *Exchange {
	h := &head{ResponseWriter: w, mark: rules.Rules.Server}
	return &Exchange{Writer: h, Request: r, Era: mcp.EraOf(r.Header), Rules: rules, head: h, trail: t, start: t.Start(), began: time.Now()}
}

// Prove has the answer prove that this shim opened what the gateway sealed.
func (x *Exchange) Prove(proof string) { x.head.mark = mcp.ShimMark(x.Rules.Rules.Server, proof) }

// Begun tells whether a part of the answer was sent, so that no other can be given.
func (x *Exchange) Begun() bool { return x.head.sent }

// head remembers that an answer began, and marks it as this shim's: of what ingress and proxies on the way answer in its
// place, the gateway must know that no shim saw the call.
type head struct {
	http.ResponseWriter
	mark string
	sent bool
}

func (h *head) begin() {
	if !h.sent {
		h.sent = true
		h.Header()[mcp.HeaderShim] = []string{h.mark}
	}
}

func (h *head) WriteHeader(status int) {
	h.begin()
	h.ResponseWriter.WriteHeader(status)
}

func (h *head) Write(p []byte) (int, error) {
	h.begin()
	return h.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush.
func (h *head) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// RequestID finds the log lines of an exchange, in the gateway and here.
func (x *Exchange) RequestID() string { return x.Request.Header.Get("X-Request-Id") }

// Listener tells whether the exchange only waits for what the server may say: it keeps nothing awake.
func (x *Exchange) Listener() bool {
	return x.Request.Method == http.MethodGet && !x.Resumes() ||
		len(x.MCP.Messages) == 1 && x.MCP.Messages[0].Method == "subscriptions/listen"
}

// Resumes tells whether the exchange waits for the rest of a call's answer.
func (x *Exchange) Resumes() bool { return mcp.Resumes(x.Request) }

// MayListen tells, before the body is read, whether the exchange may be a listener's.
func (x *Exchange) MayListen() bool {
	return x.Request.Method == http.MethodGet && !x.Resumes() || x.Request.Header.Get(mcp.HeaderMethod) == "subscriptions/listen"
}

// Detach takes a listener's connection over from net/http, where that is possible, and keeps of the request only what is
// asked for later. The answer's head must not be sent yet; release is called before the request's context ends by this,
// and left when the caller goes.
func (x *Exchange) Detach(status int, left, release func()) {
	if x.Handoff == nil {
		return
	}
	x.Writer.Header()["Connection"] = []string{"close"}
	x.Writer.WriteHeader(status)
	stream := x.Handoff.Take(x.Writer, x.Request, left)
	if stream == nil {
		return
	}
	release()
	x.head.ResponseWriter = stream
	x.Request = &http.Request{Method: x.Request.Method, URL: x.Request.URL, Header: http.Header{"X-Request-Id": {x.RequestID()}}}
	x.Handoff.Release()
}

// NoSession is the error of a session that is not there, for its client to begin another (MCP 2025-11-25, transports,
// session management).
func (x *Exchange) NoSession(cause error) error {
	e := &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeRefused, Cause: cause,
		Message: "Session not found: it ended or was never yours; initialize again"}
	if len(x.MCP.Messages) == 1 {
		e.ID = x.MCP.Messages[0].ID
	}
	return e
}

// Initializes tells whether the exchange begins a session.
func (x *Exchange) Initializes() bool {
	return x.Era == mcp.Legacy && len(x.MCP.Messages) == 1 && x.MCP.Messages[0].Kind == mcp.Request && x.MCP.Messages[0].Method == "initialize"
}

// Work tells whether the exchange asks the server to do something. Pings, notifications and replies do not count:
// clients send them on a clock, and a server that nobody uses must sleep all the same.
func (x *Exchange) Work() bool {
	if x.Resumes() {
		return true // of a call that may still run
	}
	for _, m := range x.MCP.Messages {
		if m.Kind == mcp.Request && m.Method != "ping" && m.Method != "subscriptions/listen" {
			return true
		}
	}
	return false
}
