package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	cacheFor  = time.Minute // longest time that a verified token is not checked again
	cacheSize = 1024        // tokens in each of the two generations
)

// cache remembers verified tokens, so that a caller's next request costs a hash and no signature check. Refused tokens
// are not remembered: they would push the good ones out.
//
// It is two generations of a map: what is used moves to the young one, and when that is full the old one is dropped.
type cache struct {
	mu         sync.Mutex
	young, old map[cacheKey]verified
}

// cacheKey is a hash: tokens are secrets and are not kept.
type cacheKey [sha256.Size]byte

// verified is an identity, while the keys that proved it are still the issuer's.
type verified struct {
	identity Identity
	source   *keySource
	keys     *keySet
	until    time.Time
}

func newCache() *cache { return &cache{young: make(map[cacheKey]verified)} }

// keyOf hashes the token and what it is wanted for. Lengths go in too, so that no two inputs run into one.
func keyOf(token string, resources []string) cacheKey {
	buf := make([]byte, 0, 2048)
	for _, s := range append([]string{token}, resources...) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	return sha256.Sum256(buf)
}

func (c *cache) get(k cacheKey, now time.Time) (Identity, bool) {
	c.mu.Lock()
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.add(k, v)
		}
	}
	c.mu.Unlock()
	if !ok || !now.Before(v.until) || !v.source.holds(v.keys) {
		return Identity{}, false
	}
	return v.identity, true
}

func (c *cache) put(k cacheKey, v verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, v)
}

// add stores into the young generation. The caller holds mu.
func (c *cache) add(k cacheKey, v verified) {
	if _, ok := c.young[k]; !ok && len(c.young) >= cacheSize {
		c.old, c.young = c.young, make(map[cacheKey]verified)
	}
	c.young[k] = v
}
