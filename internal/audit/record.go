// Package audit is the record of who asked for what, and what became of it.
//
// A record holds no credential. Bodies are not part of it yet. Where records go is the writer's business: gateway and
// shim write them as JSON lines.
package audit

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Outcome says what became of an exchange.
type Outcome string

// The outcomes.
const (
	Forwarded Outcome = "forwarded" // the server was asked; Status is its answer's
	Refused   Outcome = "refused"   // by us: not signed in, not admitted, no policy, malformed
	Failed    Outcome = "failed"    // the server could not be asked, or broke off
)

// OutcomeOf tells the outcome of an answer of our own by its HTTP status.
func OutcomeOf(status int) Outcome {
	if status >= 500 || status == mcp.StatusClientLeft {
		return Failed
	}
	return Refused
}

// Record is one message, and what became of it.
type Record struct {
	ID               string    `json:"id"`
	CreatedAt        time.Time `json:"createdAt"`
	Server           string    `json:"server"`
	Issuer           string    `json:"issuer,omitempty"`
	Subject          string    `json:"subject,omitempty"` // with Issuer: who
	Client           string    `json:"client,omitempty"`  // OAuth client
	ClientIP         string    `json:"clientIP,omitempty"`
	ClientName       string    `json:"clientName,omitempty"`
	ClientVersion    string    `json:"clientVersion,omitempty"`
	Era              string    `json:"era,omitempty"`
	CallType         string    `json:"callType"` // method; "response" for replies to the server; GET and DELETE
	CallIdentifier   string    `json:"callIdentifier,omitempty"`
	Outcome          Outcome   `json:"outcome"`
	Policy           string    `json:"policy,omitempty"` // that decided
	WebhookStatuses  []Verdict `json:"webhookStatuses,omitempty"`
	Error            string    `json:"error,omitempty"`
	ResponseStatus   int       `json:"responseStatus"`
	ProcessingTimeMs float64   `json:"processingTimeMs"`
	RequestBytes     int       `json:"requestBytes"`
	SessionID        string    `json:"sessionID,omitempty"` // a hash: the id itself would let its reader in
	RequestID        string    `json:"requestID,omitempty"`
}

// Log writes records as JSON lines, one write each, so that lines of several writers do not mix.
type Log struct {
	mu  sync.Mutex
	out io.Writer
	buf []byte
}

// NewLog writes to out.
func NewLog(out io.Writer) *Log { return &Log{out: out} }

// Write adds the records of one exchange. When it returns nil they are out of this process's hands.
func (l *Log) Write(records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = l.buf[:0]
	for i := range records {
		line, err := json.Marshal(&records[i])
		if err != nil {
			return fmt.Errorf("write audit record: %w", err)
		}
		l.buf = append(append(l.buf, line...), '\n')
	}
	if _, err := l.out.Write(l.buf); err != nil {
		return fmt.Errorf("write audit record: %w", err)
	}
	return nil
}

// NewID makes the id of a record: 128 random bits.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}
