package main

import (
	"strconv"
	"time"
)

// timing is where a call's time went, as Server-Timing tells it (W3C Server Timing): auth, admit, ensure (finding the
// server, or making it run) and wake (the part of ensure in which it started). Times are in milliseconds.
type timing struct {
	began time.Time
	spans [4]struct {
		name string
		took time.Duration
	}
	n int
}

// measure begins a span that ends when the returned function is called.
func (t *timing) measure(name string) (end func()) {
	began := time.Now()
	return func() { t.add(name, time.Since(began)) }
}

// add puts time to a span's.
func (t *timing) add(name string, took time.Duration) {
	for i := range t.spans[:t.n] {
		if t.spans[i].name == name {
			t.spans[i].took += took
			return
		}
	}
	if t.n < len(t.spans) {
		t.spans[t.n].name, t.spans[t.n].took = name, took
		t.n++
	}
}

// setTiming puts the header on the answer; it must not have begun.
func (c *call) setTiming() {
	var out []byte
	for i, s := range c.timing.spans[:c.timing.n] {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(append(out, s.name...), ";dur="...)
		out = strconv.AppendFloat(out, float64(s.took.Microseconds())/1000, 'f', -1, 64)
	}
	if out != nil {
		c.w.Header()["Server-Timing"] = []string{string(out)}
	}
}
