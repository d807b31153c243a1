// Package task remembers who started which task of the server, since a task belongs to who started it: its id alone must
// not open it (MCP 2025-11-25, basic/utilities/tasks, "task isolation"; extension io.modelcontextprotocol/tasks).
//
// It remembers in memory only. After a restart of the shim nobody owns anything, and tasks of before are not found.
package task

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"mcpgateway/internal/identity"
)

// The bounds of one task, in bytes. An id that is longer is not remembered, and so opens nothing.
const (
	maxID   = 512
	maxTool = 512
)

// Config is what Owners need; all fields are required.
type Config struct {
	Max     int           // tasks of everybody
	PerUser int           // tasks of one person: the oldest one's place is taken first
	Keep    time.Duration // for so long after it was last used
	Now     func() time.Time
}

// Owners knows who started which task. Any number of goroutines may use it.
type Owners struct {
	Config

	mu    sync.Mutex
	byID  map[string]*list.Element
	used  list.List // of *entry, the one that was used last in front
	count map[person]int
}

type person struct{ issuer, subject string }

type entry struct {
	id, tool string
	owner    person
	last     time.Time
}

// NewOwners makes Owners that know of no task.
func NewOwners(c Config) (*Owners, error) {
	if c.Max <= 0 || c.PerUser <= 0 || c.Keep <= 0 || c.Now == nil {
		return nil, errors.New("tasks: all bounds and a clock are required")
	}
	return &Owners{Config: c, byID: map[string]*list.Element{}, count: map[person]int{}}, nil
}

// Start remembers that who started a task, by which tool; tool is empty where that is not known. A task that is somebody's
// stays theirs, whatever a server says later.
func (o *Owners) Start(id string, who identity.Identity, tool string) {
	if id == "" || len(id) > maxID || len(tool) > maxTool {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	if o.byID[id] != nil {
		return
	}
	owner := person{who.Issuer, who.Subject}
	switch {
	case o.count[owner] >= o.PerUser:
		o.forgetOldest(func(e *entry) bool { return e.owner == owner })
	case o.used.Len() >= o.Max:
		o.forgetOldest(func(*entry) bool { return true })
	}
	o.byID[id] = o.used.PushFront(&entry{id: id, tool: tool, owner: owner, last: o.Now()})
	o.count[owner]++
}

// Owner says whether a task is who's, and by which tool it was started.
func (o *Owners) Owner(id string, who identity.Identity) (tool string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	e := o.byID[id]
	if e == nil || e.Value.(*entry).owner != (person{who.Issuer, who.Subject}) {
		return "", false
	}
	e.Value.(*entry).last = o.Now()
	o.used.MoveToFront(e)
	return e.Value.(*entry).tool, true
}

// Others says whether a task is known to be somebody else's.
func (o *Owners) Others(id string, who identity.Identity) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expire()
	e := o.byID[id]
	return e != nil && e.Value.(*entry).owner != (person{who.Issuer, who.Subject})
}

func (o *Owners) expire() {
	for e := o.used.Back(); e != nil && o.Now().Sub(e.Value.(*entry).last) > o.Keep; e = o.used.Back() {
		o.forget(e)
	}
}

func (o *Owners) forgetOldest(of func(*entry) bool) {
	for e := o.used.Back(); e != nil; e = e.Prev() {
		if of(e.Value.(*entry)) {
			o.forget(e)
			return
		}
	}
}

func (o *Owners) forget(e *list.Element) {
	gone := o.used.Remove(e).(*entry)
	delete(o.byID, gone.id)
	if o.count[gone.owner]--; o.count[gone.owner] == 0 {
		delete(o.count, gone.owner)
	}
}
