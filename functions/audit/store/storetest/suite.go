// Package storetest is the suite that every store of audit records passes.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/audit"
)

// Kept reads the lines that a store keeps of a server's day, without their order.
type Kept func(t *testing.T, server, day string) []string

// began is when the first record was made.
var began = time.Date(2026, 11, 27, 23, 58, 0, 0, time.UTC)

// record makes one, n minutes after the first.
func record(t *testing.T, n int, change func(*audit.Record)) store.Record {
	t.Helper()
	r := audit.Record{ID: fmt.Sprintf("id-%04d", n), CreatedAt: began.Add(time.Duration(n) * time.Minute), Server: "notes", Issuer: "https://login.test",
		Subject: "alice", CallType: "tools/call", CallIdentifier: "search", Outcome: audit.Forwarded, RequestBody: json.RawMessage(`{"secret":"of a body"}`)}
	if change != nil {
		change(&r)
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := store.NewRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func add(t *testing.T, s store.Store, records ...store.Record) {
	t.Helper()
	if err := s.Add(t.Context(), store.Batch{Server: records[0].Entry.Server, Records: records}); err != nil {
		t.Fatal(err)
	}
}

// everything is a query for all.
func everything() store.Query {
	return store.Query{From: began.AddDate(0, -1, 0), Until: began.AddDate(0, 1, 0), Limit: 100}
}

// find reads all pages of a query, and returns the ids.
func find(t *testing.T, s store.Store, q store.Query) (ids []string) {
	t.Helper()
	for range 200 {
		p, err := s.Find(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Entries) > q.Limit {
			t.Fatalf("%d of at most %d", len(p.Entries), q.Limit)
		}
		for _, e := range p.Entries {
			ids = append(ids, e.ID)
			if e.RequestBody != nil {
				t.Errorf("%s: a body is in the index", e.ID)
			}
		}
		if p.Next == "" {
			return ids
		}
		q.After = p.Next
	}
	t.Fatal("no end of pages")
	return nil
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Run runs the suite. open makes a store without records.
func Run(t *testing.T, open func(t *testing.T) (store.Store, Kept)) {
	t.Run("once", func(t *testing.T) { s, kept := open(t); once(t, s, kept) })
	t.Run("found", func(t *testing.T) { s, _ := open(t); found(t, s) })
	t.Run("pages", func(t *testing.T) { s, _ := open(t); pages(t, s) })
	t.Run("at the same time", func(t *testing.T) { s, kept := open(t); together(t, s, kept) })
	t.Run("lists", func(t *testing.T) { s, _ := open(t); left(t, s) })
}

// left: of what a server's shim leaves the last is there, for no other server, and no record is changed by it.
func left(t *testing.T, s store.Store) {
	shelf, ok := s.(store.Shelf)
	if !ok {
		t.Fatal("it is no shelf")
	}
	add(t, s, record(t, 3, nil))
	for _, text := range []string{"first", "second"} {
		if err := shelf.Leave(t.Context(), "notes", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := shelf.Left(t.Context(), "notes"); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got, err := shelf.Left(t.Context(), "other"); err != nil || got != nil {
		t.Errorf("another server's: %q, %v", got, err)
	}
	same(t, "records", find(t, s, everything()), "id-0003")
}

// once: whatever comes again, whole, in part or in another batch, is kept once, and the lines are as they came.
func once(t *testing.T, s store.Store, kept Kept) {
	a, b, c := record(t, 3, nil), record(t, 4, nil), record(t, 5, nil)
	add(t, s, a, b)
	add(t, s, a, b)
	add(t, s, b, c)
	add(t, s, c, c)
	same(t, "index", find(t, s, everything()), "id-0005", "id-0004", "id-0003")
	got := kept(t, "notes", "2026-11-28")
	slices.Sort(got)
	same(t, "lines", got, string(a.Line), string(b.Line), string(c.Line))
}

// found: by user, server, tool, outcome and time, alone and together.
func found(t *testing.T, s store.Store) {
	add(t, s, record(t, 0, nil), record(t, 1, func(r *audit.Record) { r.Subject = "bob" }),
		record(t, 3, func(r *audit.Record) { r.CallIdentifier, r.Outcome = "delete", audit.Refused }),
		record(t, 4, func(r *audit.Record) { r.Issuer = "https://partner.test" }), record(t, 5, func(r *audit.Record) { r.Subject, r.CallIdentifier = "", "" }))
	add(t, s, record(t, 2, func(r *audit.Record) { r.Server, r.Outcome = "other", audit.Failed }))
	q := everything()
	same(t, "all", find(t, s, q), "id-0005", "id-0004", "id-0003", "id-0002", "id-0001", "id-0000")
	for what, c := range map[string]struct {
		change func(*store.Query)
		want   string
	}{
		"user":              {func(q *store.Query) { q.User = store.User("https://login.test", "alice") }, "3 2 0"},
		"user of a partner": {func(q *store.Query) { q.User = store.User("https://partner.test", "alice") }, "4"},
		"nobody's":          {func(q *store.Query) { q.User = store.User("https://login.test", "al") }, ""},
		"server":            {func(q *store.Query) { q.Server = "other" }, "2"},
		"tool":              {func(q *store.Query) { q.Tool = "delete" }, "3"},
		"outcome":           {func(q *store.Query) { q.Outcome = audit.Refused }, "3"},
		"user and outcome":  {func(q *store.Query) { q.User, q.Outcome = store.User("https://login.test", "alice"), audit.Forwarded }, "0"},
		"server and tool":   {func(q *store.Query) { q.Server, q.Tool = "notes", "search" }, "4 1 0"},
		"none of both":      {func(q *store.Query) { q.Server, q.Outcome = "notes", audit.Failed }, ""},
		"from":              {func(q *store.Query) { q.From = began.Add(4 * time.Minute) }, "5 4"},
		"until":             {func(q *store.Query) { q.Until = began.Add(time.Minute) }, "0"},
		"a tool within time": {func(q *store.Query) {
			q.Tool, q.From, q.Until = "search", began.Add(time.Minute), began.Add(4*time.Minute)
		}, "2 1"},
	} {
		q := everything()
		c.change(&q)
		var want []string
		for _, n := range strings.Fields(c.want) {
			want = append(want, "id-000"+n)
		}
		same(t, what, find(t, s, q), want...)
	}
}

// pages: of any size they are the same records in the same order, across days, and those of one instant are all there.
func pages(t *testing.T, s store.Store) {
	var all []store.Record
	var want []string
	for n := range 23 {
		all = append(all, record(t, n, func(r *audit.Record) {
			if n%3 == 0 {
				r.CreatedAt = began.Add(9 * time.Minute)
			}
		}))
	}
	add(t, s, all...)
	slices.SortFunc(all, func(a, b store.Record) int { return strings.Compare(b.Entry.At(), a.Entry.At()) })
	for _, r := range all {
		want = append(want, r.Entry.ID)
	}
	for _, limit := range []int{1, 2, 7, 22, 23, 24} {
		for what, change := range map[string]func(*store.Query){"all": func(*store.Query) {}, "of a tool": func(q *store.Query) { q.Tool = "search" },
			"of a tool and a server": func(q *store.Query) { q.Tool, q.Server = "search", "notes" }} {
			q := everything()
			q.Limit = limit
			change(&q)
			same(t, fmt.Sprint(what, ", ", limit), find(t, s, q), want...)
		}
	}
}

// together: batches that overlap and come at once are kept once. One may have to come again.
func together(t *testing.T, s store.Store, kept Kept) {
	var all []store.Record
	for n := range 12 {
		all = append(all, record(t, 3+n, nil))
	}
	errs := make(chan error)
	for n := range 6 {
		go func() {
			b, err := store.Batch{Server: "notes", Records: all[n%3*2 : n%3*2+8]}, error(nil)
			for range 50 {
				if err = s.Add(context.Background(), b); !errors.Is(err, store.ErrBusy) {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			errs <- err
		}()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := find(t, s, everything()); len(got) != 12 {
		t.Errorf("%d in the index", len(got))
	}
	if got := kept(t, "notes", "2026-11-28"); len(got) != 12 {
		t.Errorf("%d lines", len(got))
	}
}
