package mcp

import (
	"bytes"
	"errors"
)

// lists are the arrays of list results, and the member by which an item is called.
var lists = []struct{ name, called string }{
	{"tools", "name"}, {"prompts", "name"}, {"resources", "uri"}, {"resourceTemplates", "uriTemplate"},
	{"tasks", "taskId"},
}

// FilterLists removes from a list result what keep refuses, and marks the result as the caller's own
// (cacheScope "private": MCP 2026-07-28, server utilities, caching). list is the name of the array: tools, prompts,
// resources, resourceTemplates or tasks; an item without a proper name is removed. Lists are found by their shape, in
// messages and batches: on a resumed stream nobody knows any more which request is answered.
//
// All other bytes stay as they are. An error means that in is no strict JSON, and must not be passed on.
func FilterLists(in []byte, keep func(list, name string) bool) ([]byte, error) {
	if err := checkEncoding(in); err != nil {
		return nil, err
	}
	f := filter{scanner: scanner{in: in}, keep: keep}
	var err error
	if f.peek() == '[' {
		err = f.array(f.message)
	} else {
		err = f.message()
	}
	if err == nil {
		err = f.end()
	}
	if err != nil {
		return nil, err
	}
	return applyEdits(f.in, f.edits), nil
}

// filter collects edits while it scans.
type filter struct {
	scanner
	keep  func(list, name string) bool
	edits []edit // in order, not overlapping
}

type edit struct {
	from, to int
	with     []byte
}

// applyEdits returns in with the edits, which are in order and do not overlap.
func applyEdits(in []byte, edits []edit) []byte {
	if len(edits) == 0 {
		return in
	}
	out := make([]byte, 0, len(in)+32)
	pos := 0
	for _, e := range edits {
		out = append(append(out, in[pos:e.from]...), e.with...)
		pos = e.to
	}
	return append(out, in[pos:]...)
}

func (f *filter) message() error {
	if f.peek() != '{' {
		_, err := f.value()
		return err
	}
	return f.object(func(name string) error {
		if name == prototype {
			return errPrototype
		}
		if twin(name, "result") && f.peek() == '{' {
			return f.object(f.resultMember)
		}
		_, err := f.value()
		return err
	})
}

var errPrototype = errors.New("a member " + prototype)

func (f *filter) resultMember(name string) error {
	if name == prototype {
		return errPrototype
	}
	for _, l := range lists {
		if twin(name, l.name) && f.peek() == '[' {
			return f.list(l.name, l.called)
		}
	}
	f.space()
	start := f.pos
	v, err := f.value()
	if scope, _ := v.Text(); err == nil && twin(name, "cacheScope") && scope != "private" {
		f.edits = append(f.edits, edit{start, f.pos, []byte(`"private"`)})
	}
	return err
}

// list takes the array and, where an item goes, replaces the array by what is left.
func (f *filter) list(list, called string) error {
	start := f.pos
	var kept [][]byte
	removed := false
	err := f.array(func() error {
		item, name, err := f.item(called)
		if err != nil {
			return err
		}
		if text, ok := name.Text(); ok && f.keep(list, text) {
			kept = append(kept, item)
		} else {
			removed = true
		}
		return nil
	})
	if err != nil || !removed {
		return err
	}
	with := append([]byte{'['}, bytes.Join(kept, []byte{','})...)
	f.edits = append(f.edits, edit{start, f.pos, append(with, ']')})
	return nil
}

// item takes one element and finds the name that it is called by: none where some reader would find another.
func (f *filter) item(called string) (item, name Token, err error) {
	if f.peek() != '{' {
		item, err = f.value()
		return item, nil, err
	}
	start := f.pos
	clear := true
	err = f.object(func(member string) error {
		v, err := f.value()
		if member == called {
			name = v
		} else if member == prototype || twin(member, called) {
			clear = false
		}
		return err
	})
	if !clear {
		name = nil
	}
	return Token(f.in[start:f.pos]), name, err
}

// IsAnswer tells whether the data of an event is, or holds, the response to a request. What cannot be read counts as
// one: it may be the last that is seen of a call.
func IsAnswer(data []byte) bool {
	if checkEncoding(data) != nil {
		return true
	}
	s := scanner{in: data}
	answer := false
	message := func() error {
		if s.peek() != '{' {
			answer = true
			_, err := s.value()
			return err
		}
		return s.object(func(name string) error {
			answer = answer || twin(name, "result") || twin(name, "error") || name == prototype
			_, err := s.value()
			return err
		})
	}
	var err error
	if s.peek() == '[' {
		err = s.array(message)
	} else {
		err = message()
	}
	return answer || err != nil || s.end() != nil
}
