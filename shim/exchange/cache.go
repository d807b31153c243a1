package exchange

import (
	"container/list"
	"sync"
	"time"
)

// sweepEvery is how often what is over is let go of, where nobody asks for it any more.
const sweepEvery = time.Minute

// answer is what an issuer said: a token, or no.
type answer struct {
	token *issued
	err   error
}

// cache keeps answers until their deadlines, those used last where there are too many. Tokens that are over are dropped:
// nothing holds them any more, though the runtime overwrites memory only when it uses it again.
type cache struct {
	most int
	now  func() instant

	mu       sync.Mutex
	entries  map[key]*list.Element // of *entry
	order    *list.List            // used last first
	size     int                   // bytes of tokens
	sweeping bool
}

type entry struct {
	key      key
	answer   *answer // nil where there is only the time of a renewal
	deadline instant
	renewed  *instant // when a server's refusal led to the last forced exchange
}

func newCache(most int, now func() instant) *cache {
	return &cache{most: most, now: now, entries: map[key]*list.Element{}, order: list.New()}
}

// get returns the answer for k; nil where there is none or it is over.
func (c *cache) get(k key) *answer {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[k]
	if !ok {
		return nil
	}
	e := at.Value.(*entry)
	if e.answer != nil && now.reached(e.deadline) {
		c.empty(e)
	}
	if e.answer == nil {
		return nil
	}
	c.order.MoveToFront(at)
	return e.answer
}

// put keeps an answer.
func (c *cache) put(k key, a answer, deadline instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(k)
	c.empty(e)
	e.answer, e.deadline = &a, deadline
	c.size += a.size()
	for len(c.entries) > c.most || c.size > maxCacheSize && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
}

// renew forgets a token that a server refused, so that the next one who asks has it exchanged again. It says no where that
// happened just now: another token would be refused too.
func (c *cache) renew(k key, refused *issued) bool {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(k)
	if e.answer != nil && e.answer.token != refused {
		return true // somebody else has a newer one already
	}
	if e.renewed != nil && !now.reached(e.renewed.in(renewEvery)) {
		return false
	}
	c.empty(e)
	e.renewed = &now
	return true
}

// entry finds or makes an entry and makes it the one used last. The caller holds mu, as for all below.
func (c *cache) entry(k key) *entry {
	at, ok := c.entries[k]
	if !ok {
		at = c.order.PushFront(&entry{key: k})
		c.entries[k] = at
		c.sweepLater()
	}
	c.order.MoveToFront(at)
	return at.Value.(*entry)
}

func (c *cache) empty(e *entry) {
	if e.answer != nil {
		c.size -= e.answer.size()
		e.answer = nil
	}
}

func (c *cache) remove(at *list.Element) {
	e := at.Value.(*entry)
	c.empty(e)
	delete(c.entries, e.key)
	c.order.Remove(at)
}

// sweepLater has what is over removed while there is anything.
func (c *cache) sweepLater() {
	if c.sweeping {
		return
	}
	c.sweeping = true
	time.AfterFunc(sweepEvery, c.sweep)
}

func (c *cache) sweep() {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := c.order.Front(); at != nil; {
		next, e := at.Next(), at.Value.(*entry)
		if e.answer != nil && now.reached(e.deadline) {
			c.empty(e)
		}
		if e.answer == nil && (e.renewed == nil || now.reached(e.renewed.in(renewEvery))) {
			c.remove(at)
		}
		at = next
	}
	c.sweeping = false
	if c.order.Len() > 0 {
		c.sweepLater()
	}
}

func (a *answer) size() int {
	if a.token == nil {
		return 0
	}
	return len(a.token.text.Reveal())
}
