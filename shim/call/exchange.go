// Package call is what the shim's stages hand on to each other: one HTTP exchange, read once.
//
// It decides nothing. Every stage gets the Exchange as an argument and adds what it found out; nothing travels in a
// context.
package call

import (
	"net/http"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/trail"
)

// Exchange is one request and its answer on the way.
type Exchange struct {
	Writer  http.ResponseWriter
	Request *http.Request
	Era     mcp.Era

	Rules *ruleset.Set      // in force when the exchange began, and to its end
	Who   identity.Identity // set by authenticate
	Body  []byte            // the request's bytes; empty for GET and DELETE
	MCP   mcp.Body          // what they say

	Session   string          // the server's own session id, unsealed; empty without one
	Policy    string          // that decided last
	Decision  audit.Decision  // of the policies; empty where they were not asked
	Reviews   []audit.Verdict // of the filters, in the order they were asked
	Exchanged string          // what became of the token exchange; empty where there was none

	head     *head
	began    time.Time
	trail    *trail.Trail
	start    audit.Start
	answer   answer
	recorded bool
}

// Begin starts an exchange.
func Begin(w http.ResponseWriter, r *http.Request, rules *ruleset.Set, t *trail.Trail) *Exchange {
	h := &head{ResponseWriter: w}
	return &Exchange{Writer: h, Request: r, Era: mcp.EraOf(r.Header), Rules: rules, head: h, trail: t, start: t.Start(), began: time.Now()}
}

// Begun tells whether a part of the answer was sent, so that no other can be given.
func (x *Exchange) Begun() bool { return x.head.sent }

// head remembers that an answer began.
type head struct {
	http.ResponseWriter
	sent bool
}

func (h *head) WriteHeader(status int) {
	h.sent = true
	h.ResponseWriter.WriteHeader(status)
}

func (h *head) Write(p []byte) (int, error) {
	h.sent = true
	return h.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush.
func (h *head) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// RequestID finds the log lines of an exchange, in the gateway and here.
func (x *Exchange) RequestID() string { return x.Request.Header.Get("X-Request-Id") }

// Listener tells whether the exchange only waits for what the server may say: it keeps nothing awake.
func (x *Exchange) Listener() bool {
	return x.Request.Method == http.MethodGet ||
		len(x.MCP.Messages) == 1 && x.MCP.Messages[0].Method == "subscriptions/listen"
}

// Work tells whether the exchange asks the server to do something. Pings, notifications and replies do not count:
// clients send them on a clock, and a server that nobody uses must sleep all the same.
func (x *Exchange) Work() bool {
	for _, m := range x.MCP.Messages {
		if m.Kind == mcp.Request && m.Method != "ping" && m.Method != "subscriptions/listen" {
			return true
		}
	}
	return false
}
