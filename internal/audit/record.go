// Package audit is the record of who asked for what, and what became of it.
//
// A record holds no credential of ours or of the caller's; what else a body holds is named by Settings. Log writes records
// as JSON lines; how they get to a sink elsewhere is for packages spool and sink below.
package audit

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/mcp"
)

// Outcome says what became of an exchange.
type Outcome string

// The outcomes.
const (
	Forwarded Outcome = "forwarded" // the server was asked; Status is its answer's
	Answered  Outcome = "answered"  // by us, while the server slept: what it had said before
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

// Record is one message, and what became of it. Of prior formats it has all fields but one for API keys, which there are
// none of. What a caller can make long is cut (see Settings for bodies).
type Record struct {
	ID               string              `json:"id"`
	CreatedAt        time.Time           `json:"createdAt"`
	Server           string              `json:"server"`
	Issuer           string              `json:"issuer,omitempty"`
	Subject          string              `json:"subject,omitempty"` // with Issuer: who
	Client           string              `json:"client,omitempty"`  // OAuth client
	ClientIP         string              `json:"clientIP,omitempty"`
	ClientName       string              `json:"clientName,omitempty"`
	ClientVersion    string              `json:"clientVersion,omitempty"`
	UserAgent        string              `json:"userAgent,omitempty"`
	Era              string              `json:"era,omitempty"`
	CallType         string              `json:"callType"` // method; "response" for replies to the server; GET and DELETE
	CallIdentifier   string              `json:"callIdentifier,omitempty"`
	Outcome          Outcome             `json:"outcome"`
	Decision         Decision            `json:"decision,omitempty"` // of the policies; none where the call did not get that far
	Policy           string              `json:"policy,omitempty"`   // that decided
	WebhookStatuses  []Verdict           `json:"webhookStatuses,omitempty"`
	Exchange         string              `json:"exchange,omitempty"` // what became of the token exchange
	Start            Start               `json:"start,omitempty"`
	Error            string              `json:"error,omitempty"`
	ResponseStatus   int                 `json:"responseStatus"`
	ProcessingTimeMs float64             `json:"processingTimeMs"`
	RequestBytes     int                 `json:"requestBytes"`
	ResponseBytes    int                 `json:"responseBytes"`       // of the body, until the record was made
	SessionID        string              `json:"sessionID,omitempty"` // a hash: the id itself would let its reader in
	RequestID        string              `json:"requestID,omitempty"`
	TraceID          string              `json:"traceID,omitempty"` // of the caller's traceparent (W3C Trace Context)
	RequestHeaders   map[string][]string `json:"requestHeaders,omitempty"`
	ResponseHeaders  map[string][]string `json:"responseHeaders,omitempty"`
	// Bodies are JSON as it was, an array of messages where the answer is a stream, or text where it is no JSON or was cut.
	RequestBody       json.RawMessage `json:"requestBody,omitempty"`
	ResponseBody      json.RawMessage `json:"responseBody,omitempty"`
	RequestTruncated  bool            `json:"requestTruncated,omitempty"`
	ResponseTruncated bool            `json:"responseTruncated,omitempty"`
	// Metadata says of other fields where they come from, if not from who wrote the record.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Decision is what the policies said.
type Decision string

// The decisions.
const (
	Allowed Decision = "allow"
	Denied  Decision = "deny"
)

// Start says whether the call had to wait for the server to start.
type Start string

// The starts.
const (
	Cold Start = "cold" // nothing was answered yet since the shim began
	Warm Start = "warm"
)

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
	return l.flush()
}

// WriteLines adds records that are JSON already.
func (l *Log) WriteLines(lines [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = l.buf[:0]
	for _, line := range lines {
		l.buf = append(append(l.buf, line...), '\n')
	}
	return l.flush()
}

// flush writes what is in buf; the caller holds mu.
func (l *Log) flush() error {
	_, err := l.out.Write(l.buf)
	if cap(l.buf) > maxKept {
		l.buf = nil
	}
	if err != nil {
		return fmt.Errorf("write audit record: %w", err)
	}
	return nil
}

// maxKept bounds the buffer that is kept between writes, in bytes.
const maxKept = 64 << 10

// NewID makes the id of a record: of all that this process makes, each is one more than the one before, so that the first
// and the last tell of a row of records which they are. Between processes, 80 random bits keep them apart.
func NewID() string {
	id := process
	binary.BigEndian.PutUint64(id[8:], uint64(id[8])<<56|uint64(id[9])<<48|made.Add(1)&(1<<48-1))
	return hex.EncodeToString(id[:])
}

var made atomic.Uint64

var process = func() (id [16]byte) {
	_, _ = rand.Read(id[:10]) // never fails: crypto/rand
	return id
}()
