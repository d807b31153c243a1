package call

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
)

// Recordable refuses an exchange that would need a record outside the pod, when none can be had: before it is sent.
func Recordable(x *Exchange) error {
	if !x.confirmed() {
		return nil
	}
	err := x.trail.Available()
	if err == nil {
		return nil
	}
	e := &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: recordRetry, Cause: err,
		Message: "Calls of this server must be recorded, and now they cannot be; nothing was sent to it. Try again later"}
	x.address(e)
	return e
}

// recordRetry is when a caller may come back whose call could not be recorded.
const recordRetry = 5 * time.Second

// confirmed tells whether the answer may only leave once the sink has the record. Pings and notifications need not wait:
// they do nothing that anybody would ask for.
func (x *Exchange) confirmed() bool {
	if !x.Rules.Audit.Required {
		return false
	}
	if x.Work() || x.Listener() {
		return true
	}
	for i := range x.MCP.Messages {
		if x.MCP.Messages[i].Kind == mcp.Response {
			return true
		}
	}
	return false
}

// address has an error answer all requests of the exchange.
func (x *Exchange) address(e *mcp.Error) {
	switch ids := x.MCP.RequestIDs(); {
	case x.MCP.Batch:
		e.Batch = ids
	case ids != nil:
		e.ID = ids[0]
	}
}

// Record writes the audit records, one for each message, the first time it is called. It must be called before the
// last byte of the answer leaves, so that no caller holds an answer that nobody has a record of. An error says that the
// rest of the answer must not leave: it is an *mcp.Error, what to answer instead.
func (x *Exchange) Record(outcome audit.Outcome, status int, failure error) error {
	if x.recorded {
		return nil
	}
	x.recorded, x.outcome, x.status = true, outcome, status
	if outcome == audit.Forwarded && x.Work() {
		x.trail.Answered()
	}
	records := x.records(outcome, status, failure)
	if outcome == audit.Forwarded && x.confirmed() {
		return x.withheld(x.trail.Confirm(records))
	}
	if err := x.trail.Write(records); err != nil {
		slog.Error("audit record lost", "error", err, "request", x.RequestID())
	}
	return nil
}

// withheld is no 502 or 503: many clients send a request again that those answer, and this one ran.
func (x *Exchange) withheld(err error) error {
	if err == nil {
		return nil
	}
	slog.Error("answer withheld: its record is not outside the pod", "error", err, "request", x.RequestID())
	e := &mcp.Error{Status: http.StatusInternalServerError, Code: mcp.CodeInternal, Cause: err,
		Message: "The call was sent to the server and may have run, but it could not be recorded, so its answer is withheld. " +
			"Do not just repeat it; tell whoever runs this gateway"}
	x.address(e)
	return e
}

// Outcome is what was recorded of the exchange; empty where that is nothing yet.
func (x *Exchange) Outcome() (audit.Outcome, int) { return x.outcome, x.status }

func (x *Exchange) records(outcome audit.Outcome, status int, failure error) []audit.Record {
	base := audit.Record{
		CreatedAt: x.began, Server: x.Rules.Rules.Server, Issuer: x.Who.Issuer, Subject: x.Who.Subject, Client: x.Who.Client,
		Era: x.Era.String(), Outcome: outcome, Policy: x.Policy, Decision: x.Decision, WebhookStatuses: x.Reviews, Exchange: x.Exchanged,
		ResponseStatus: status, RequestBytes: len(x.Body), ResponseBytes: x.answer.bytes,
		ProcessingTimeMs: float64(time.Since(x.began).Microseconds()) / 1000, RequestID: Clip(x.RequestID()), TraceID: x.traceID(),
		ID: audit.NewID(), CallType: x.Request.Method,
	}
	if failure != nil {
		base.Error = Clip(failure.Error())
	}
	id := x.Session
	if x.Sealed != nil {
		if id = x.Sealed.ID; id == "" { // the gateway began it
			id = string(x.Sealed.Name[:])
		} // one session has one name, whatever a later server calls it
	}
	if id != "" {
		sum := sha256.Sum256([]byte(id))
		base.SessionID = hex.EncodeToString(sum[:8])
	}
	if x.Work() {
		base.Start = x.start
	}
	x.describeClient(&base)
	keep := x.Rules.Audit
	base.ResponseBody, base.ResponseTruncated = x.answer.body(keep)
	if len(x.MCP.Messages) == 0 {
		base.RequestBody, base.RequestTruncated = excerpt(keep, x.Body)
		return []audit.Record{base}
	}
	records := make([]audit.Record, len(x.MCP.Messages))
	for i := range x.MCP.Messages {
		m := &x.MCP.Messages[i]
		if i > 0 {
			// What the server said is one answer to all: it stands once.
			base.ID, base.ResponseBody, base.ResponseTruncated = audit.NewID(), nil, false
		}
		records[i] = describe(base, m)
		records[i].RequestBody, records[i].RequestTruncated = excerpt(keep, m.Raw)
	}
	return records
}

// describeClient adds what headers say. The shim has seen no client: its address and program are the gateway's word, or
// that of whoever else reached the shim with a token.
func (x *Exchange) describeClient(r *audit.Record) {
	h := x.Request.Header
	r.ClientIP, r.UserAgent = Clip(h.Get(mcp.HeaderClientIP)), Clip(h.Get(mcp.HeaderUserAgent))
	if r.ClientIP != "" || r.UserAgent != "" {
		r.Metadata = reported
	}
	if x.Rules.Audit.Headers {
		r.RequestHeaders, r.ResponseHeaders = audit.Headers(h), audit.Headers(x.Writer.Header())
	}
}

// reported says whose word it is.
var reported = map[string]string{"clientIP": "reported by the gateway", "userAgent": "reported by the gateway"}

// traceID is the trace that the caller's request belongs to: W3C Trace Context, section 3.2.2.
func (x *Exchange) traceID() string {
	const version, trace = 3, 32
	v := x.Request.Header.Get("Traceparent")
	if len(v) < version+trace+1 || v[version-1] != '-' || v[version+trace] != '-' {
		return ""
	}
	id := v[version : version+trace]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
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
