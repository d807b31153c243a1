package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

// call is one request on its way through the gateway.
type call struct {
	*snapshot // that was in force when the request came: it goes by it to its end

	w      http.ResponseWriter
	r      *http.Request
	id     string // finds the log lines, here and in the shim
	server string // that the path names: well-formed, no more is known of it
	status int    // of the answer; 0 while there is none
	era    mcp.Era
	timing timing
	end    time.Time // of the answer, at the latest; zero where no deadline follows

	registry bool // it is for the registry API, which has errors of its own form

	who   identity.Identity // from authenticate on
	token string            // from authenticate on
	entry *catalog.Server   // from admit on
	body  []byte            // from read on; empty for GET and DELETE
	begun bool              // a part of the answer was sent

	messages *mcp.Body // of the body, once they were asked for

	handoff    *detach.Handoff // of a listener
	supersedes bool            // an older listener of its session
	holds      bool            // the instance up, for a client that left
}

func newCall(w http.ResponseWriter, r *http.Request, s *snapshot) *call {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	c := &call{r: r, id: hex.EncodeToString(id[:]), era: mcp.EraOf(r.Header), timing: timing{began: time.Now()}, snapshot: s,
		end: endOf(r.Context())}
	c.w = &patientWriter{ResponseWriter: w, ctl: http.NewResponseController(w), status: &c.status}
	return c
}

// baseHeaders go out with every answer. Servers share an origin with each other and with the sign-in pages, so nothing
// they answer may act in it: RFC 9110 §8.3 sniffing is off, and what is shown is shown in a sandbox.
func (c *call) baseHeaders() {
	h := c.w.Header()
	h["X-Request-Id"] = []string{c.id}
	h["X-Content-Type-Options"] = nosniff
	h["Content-Security-Policy"] = sandbox
}

var (
	nosniff = []string{"nosniff"}
	sandbox = []string{"default-src 'none'; frame-ancestors 'none'; sandbox"}
)

// authorization is how the caller said who it is, once that was found good: one value.
func (c *call) authorization() string { return c.r.Header.Get("Authorization") }

// key names the instance that serves the caller.
func (c *call) key() deploy.Key {
	k := deploy.Key{Server: c.server}
	if c.entry.Instances.PerUser {
		k.Owner = &deploy.Owner{Issuer: c.who.Issuer, Subject: c.who.Subject}
	}
	return k
}

// resumes tells whether the client waits for the rest of a call's answer, which it lost. Where the server went meanwhile it is
// woken, to say what became of it.
func (c *call) resumes() bool { return !c.registry && mcp.Resumes(c.r) }

// mayResume tells whether the client may wait for the rest of a call's answer all the same, whose events the server named
// itself: then it is not known to be a listener like others.
func (c *call) mayResume() bool {
	last := c.r.Header.Get("Last-Event-Id")
	return last != "" && !strings.HasPrefix(last, mcp.ListenPrefix)
}

// listener tells, by method and headers only, whether the client just waits for what the server may say.
func (c *call) listener() bool {
	return !c.registry && c.r.Method == http.MethodGet && !c.resumes() || c.era == mcp.Modern && c.r.Header.Get(mcp.HeaderMethod) == "subscriptions/listen"
}

// writePatience is how long a client may take to read what one write sends.
const writePatience = 60 * time.Second

// patientWriter gives every write a deadline of its own: an answer may take as long as its call, a client that does not
// read may not. (http.Server.WriteTimeout would bound the whole answer.)
type patientWriter struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	status *int // of the answer, once there is one
}

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.ctl.SetWriteDeadline(time.Now().Add(writePatience)) // where the server has deadlines
	if *w.status == 0 {
		*w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// WriteHeader sets the deadline too: of an empty answer it is all there is.
func (w *patientWriter) WriteHeader(status int) {
	_ = w.ctl.SetWriteDeadline(time.Now().Add(writePatience))
	*w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// read takes the body, and refuses requests that no server could answer.
func (c *call) read() error {
	if err := mcp.CheckHeaders(c.r); err != nil {
		return err
	}
	switch m := c.r.Method; {
	case m == http.MethodPost:
	case (m == http.MethodGet || m == http.MethodDelete) && c.era == mcp.Legacy:
		return nil
	default:
		return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Header: http.Header{"Allow": {"POST"}},
			Message: "Use POST: revision " + mcp.ModernVersion + " has no other method"}
	}
	var err error
	c.body, err = mcp.ReadBody(c.r)
	return err
}

// parse reads the body, once. Where that is not needed it is not done: bodies may be large.
func (c *call) parse() (*mcp.Body, error) {
	if c.messages == nil {
		body, err := mcp.Parse(c.body)
		if err != nil {
			return nil, err
		}
		c.messages = &body
	}
	return c.messages, nil
}

// asksWork tells whether a server is to be woken for a body: for every request but a ping.
func asksWork(b *mcp.Body) bool {
	return slices.ContainsFunc(b.Messages, func(m mcp.Message) bool { return m.Kind == mcp.Request && m.Method != "ping" })
}

// answerAsleep answers what a sleeping server need not be woken for. Of a server that is known to run it is not reached, so
// that the body is not read here.
func (c *call) answerAsleep() (answered bool, err error) {
	if c.r.Method == http.MethodDelete {
		return false, &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeRefused,
			Message: "Session not found: the server is asleep, and holds nothing of it"}
	}
	if c.resumes() {
		return false, nil
	}
	body, err := c.parse()
	if err != nil || asksWork(body) {
		return false, err
	}
	c.begun = true
	c.setTiming()
	if m := body.Messages[0]; !body.Batch && m.Kind == mcp.Request {
		c.w.Header().Set("Content-Type", "application/json")
		_, err = fmt.Fprintf(c.w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		return true, err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return true, nil
}

// text answers a probe.
func (c *call) text(s string) error {
	c.w.Header().Set("Content-Type", "text/plain")
	_, err := io.WriteString(c.w, s+"\n")
	return err
}

// nothingSent tells whether the server saw nothing of a request: only then may it be sent again.
func nothingSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
