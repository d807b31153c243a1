// Package call is what the shim's stages hand on to each other: one HTTP exchange, read once.
//
// It decides nothing. Every stage gets the Exchange as an argument and adds what it found out; nothing travels in a
// context.
package call

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/ruleset"
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

	Session string          // the server's own session id, unsealed; empty without one
	Policy  string          // that decided last
	Reviews []audit.Verdict // of the filters, in the order in which they were asked; see Review

	Handoff *detach.Handoff // of what MayListen; nil where the connection stays net/http's

	head     *head
	began    time.Time
	audit    *audit.Log
	recorded bool
	outcome  audit.Outcome // once recorded, with status
	status   int
}

// Begin starts an exchange.
func Begin(w http.ResponseWriter, r *http.Request, rules *ruleset.Set, log *audit.Log) *Exchange {
	h := &head{ResponseWriter: w}
	return &Exchange{Writer: h, Request: r, Era: mcp.EraOf(r.Header), Rules: rules, head: h, audit: log, began: time.Now()}
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

// MayListen tells, before the body is read, whether the exchange may be a listener's.
func (x *Exchange) MayListen() bool {
	return x.Request.Method == http.MethodGet || x.Request.Header.Get(mcp.HeaderMethod) == "subscriptions/listen"
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

// Record writes the audit records, one for each message, the first time it is called. It must be called before the
// last byte of the answer leaves, so that no caller holds an answer that nobody has a record of.
func (x *Exchange) Record(outcome audit.Outcome, status int, failure error) {
	if x.recorded {
		return
	}
	x.recorded, x.outcome, x.status = true, outcome, status
	if err := x.audit.Write(x.records(outcome, status, failure)); err != nil {
		slog.Error("audit record lost", "error", err, "request", x.RequestID())
	}
}

// Outcome is what was recorded of the exchange; empty where that is nothing yet.
func (x *Exchange) Outcome() (audit.Outcome, int) { return x.outcome, x.status }

func (x *Exchange) records(outcome audit.Outcome, status int, failure error) []audit.Record {
	base := audit.Record{
		CreatedAt: x.began, Server: x.Rules.Rules.Server, Issuer: x.Who.Issuer, Subject: x.Who.Subject, Client: x.Who.Client,
		Era: x.Era.String(), Outcome: outcome, Policy: x.Policy, ResponseStatus: status, RequestBytes: len(x.Body),
		ProcessingTimeMs: float64(time.Since(x.began).Microseconds()) / 1000, RequestID: x.RequestID(),
		ID: audit.NewID(), CallType: x.Request.Method, WebhookStatuses: x.Reviews,
	}
	if failure != nil {
		base.Error = failure.Error()
	}
	if x.Session != "" {
		sum := sha256.Sum256([]byte(x.Session))
		base.SessionID = hex.EncodeToString(sum[:8])
	}
	if len(x.MCP.Messages) == 0 {
		return []audit.Record{base}
	}
	records := make([]audit.Record, len(x.MCP.Messages))
	for i := range x.MCP.Messages {
		records[i] = describe(base, &x.MCP.Messages[i])
		if i > 0 {
			records[i].ID = audit.NewID()
		}
	}
	return records
}

func describe(r audit.Record, m *mcp.Message) audit.Record {
	if r.CallType = Clip(m.Method); m.Kind == mcp.Response {
		r.CallType = "response"
	}
	r.ClientName = text(m.Params.ClientName)
	r.ClientVersion = text(m.Params.ClientVersion)
	r.CallIdentifier = text(m.Target().Name)
	return r
}

func text(t mcp.Token) string {
	s, _ := t.Text()
	return Clip(s)
}

// Clip bounds what a caller can make a record hold.
func Clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
