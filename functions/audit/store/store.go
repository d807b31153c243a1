// Package store is what audit records are kept in, each once, and found by. What a record means is not its business; nor is
// who may read one.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/audit"
)

// Store keeps records.
type Store interface {
	// Add keeps what of a batch is not kept yet. After an error the same batch may be brought again.
	Add(ctx context.Context, b Batch) error
	// Find returns records, the newest first.
	Find(ctx context.Context, q Query) (Page, error)
}

// Shelf keeps what a server's shim leaves of its lists, the last only. What that says is not its business.
type Shelf interface {
	Leave(ctx context.Context, server string, left []byte) error
	// Left returns what was left last; nil where nothing was.
	Left(ctx context.Context, server string) ([]byte, error)
}

// ShelfFolder is where that is, in a bucket or a folder, each under its server's id.
const ShelfFolder = "lists"

// ErrBusy says that another is bringing some of the same records: whether it keeps them is known soon.
var ErrBusy = errors.New("another is bringing these records")

// Batch is what one server's shim brought at once.
type Batch struct {
	Server  string // whose all its records are
	Records []Record
}

// Record is a record whole, and what it is found by.
type Record struct {
	Line  []byte // JSON in one line
	Entry Entry
}

// Entry is what of a record is in the index: all but headers and bodies.
type Entry struct {
	audit.Record
}

// NewRecord reads one.
func NewRecord(line []byte) (Record, error) {
	var r audit.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, err
	}
	if r.ID == "" || len(r.ID) > maxID || strings.ContainsFunc(r.ID, func(c rune) bool { return c <= ' ' || c > '~' }) || r.CreatedAt.IsZero() || !Sorts(r.CreatedAt) {
		return Record{}, errors.New("a record without an id or a time")
	}
	e := r
	e.RequestHeaders, e.ResponseHeaders, e.RequestBody, e.ResponseBody = nil, nil, nil, nil
	return Record{Line: line, Entry: Entry{e}}, nil
}

// maxID bounds an id, in bytes: ours have 32.
const maxID = 128

// User is who, as one text: subjects belong to their issuer.
func (e *Entry) User() string {
	if e.Subject == "" {
		return ""
	}
	return User(e.Issuer, e.Subject)
}

// User is an issuer and its subject as one text, in which neither can pass for a part of the other: no URL has a space.
func User(issuer, subject string) string { return issuer + " " + subject }

// Key names an entry: ids of one server's records do not meet another's.
func (e *Entry) Key() string { return e.Server + "/" + e.ID }

// At is where an entry stands among all: by time, then by key. It sorts as text.
func (e *Entry) At() string { return At(e.CreatedAt) + "#" + e.Key() }

// Sorts tells whether a time is one of which At's text sorts: years have four digits there.
func Sorts(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

// At is a time as text that sorts.
func At(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// Day is the part of it that names a day.
func Day(at string) string { return at[:10] }

// Query says which records. What is empty does not matter.
type Query struct {
	User, Server, Tool string
	Outcome            audit.Outcome
	From, Until        time.Time // from within, until without
	After              string    // the last place of the page before: At
	Limit              int
}

// Matches tells whether an entry is asked for, but for After.
func (q *Query) Matches(e *Entry) bool {
	return (q.User == "" || q.User == e.User()) && (q.Server == "" || q.Server == e.Server) && (q.Tool == "" || q.Tool == e.CallIdentifier) &&
		(q.Outcome == "" || q.Outcome == e.Outcome) && !e.CreatedAt.Before(q.From) && e.CreatedAt.Before(q.Until)
}

// Page is some records in a row.
type Page struct {
	Entries []Entry
	Next    string // where the next page begins; empty: there is none
}

// An Index is what entries are found by: the first that a query names is looked into, and what it finds is held to the rest.
type Index struct {
	Name string
	Of   func(*Entry) string
	In   func(*Query) string
}

// Indexes are in the order in which they narrow.
var Indexes = []Index{
	{"user", (*Entry).User, func(q *Query) string { return q.User }},
	{"tool", func(e *Entry) string { return e.CallIdentifier }, func(q *Query) string { return q.Tool }},
	{"server", func(e *Entry) string { return e.Server }, func(q *Query) string { return q.Server }},
	{"outcome", func(e *Entry) string { return string(e.Outcome) }, func(q *Query) string { return string(q.Outcome) }},
}

// Pick is the index that a query is answered from; false: by time alone.
func Pick(q *Query) (Index, bool) {
	i := slices.IndexFunc(Indexes, func(i Index) bool { return i.In(q) != "" })
	if i < 0 {
		return Index{}, false
	}
	return Indexes[i], true
}

// Before is the place from which a query goes back in time: no entry that is asked for stands there or after it.
func (q *Query) Before() string {
	until := At(q.Until)
	if q.After != "" && q.After < until {
		return q.After
	}
	return until
}

// Folder is where records are, in a bucket or a folder.
const Folder = "records"

// Place is the folder of an entry's record: by date and server, as Athena's partitions are.
func Place(e *Entry) string {
	return Folder + "/date=" + Day(At(e.CreatedAt)) + "/server=" + e.Server
}
