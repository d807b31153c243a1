package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/apikey"
	"mcpgateway/internal/store"
)

// Bounds of a person's keys.
const (
	MaxKeyLife = 90 * 24 * time.Hour
	MaxKeys    = 50
	MaxServers = 50  // that one key is for
	MaxLabel   = 400 // bytes
)

// ErrKey is every reason why a key is not made: too much was asked for.
var ErrKey = errors.New("grant: no such key can be made")

// Key is what is kept of an API key: a person's right to use some servers without a browser, for programs that know nothing
// else. What it may is what the person may at the time.
type Key struct {
	ID      string
	Label   string
	Servers []string // ids
	Made    time.Time
	Ends    time.Time
	Hash    []byte // of the key
}

// MakeKey makes a key and returns its text, which is nowhere kept. The person must have signed in for it; see SignIn.
func (g *Grants) MakeKey(ctx context.Context, p Person, label string, servers []string, life time.Duration) (string, error) {
	switch {
	case len(servers) == 0 || len(servers) > MaxServers:
		return "", fmt.Errorf("%w: choose 1 to %d servers", ErrKey, MaxServers)
	case len(label) > MaxLabel:
		return "", fmt.Errorf("%w: the name has more than %d bytes", ErrKey, MaxLabel)
	case life <= 0 || life > MaxKeyLife:
		return "", fmt.Errorf("%w: it may last for 90 days", ErrKey)
	}
	keys, err := g.Keys(ctx, p)
	if err != nil {
		return "", err
	}
	if len(keys) >= MaxKeys {
		return "", fmt.Errorf("%w: you have %d, revoke one of them first", ErrKey, MaxKeys)
	}
	id, now := seal.Random()[:22], g.Now()
	text := apikey.Prefix + p.hash() + id + seal.Random()
	k := Key{ID: id, Label: label, Servers: slices.Sorted(slices.Values(servers)), Made: now, Ends: now.Add(life), Hash: seal.Hash(text)}
	_, err = g.put(ctx, store.Item{Key: keyKey(p, id), Expires: k.Ends}, k)
	return text, err
}

func keyKey(p Person, id string) store.Key { return store.Key{Part: p.keysPart(), Sort: "key/" + id} }

// Keys are a person's keys that are good now, the youngest first.
func (g *Grants) Keys(ctx context.Context, p Person) (keys []Key, err error) {
	items, err := g.Store.List(ctx, p.keysPart())
	if err != nil {
		return nil, err
	}
	for _, i := range items {
		if !strings.HasPrefix(i.Sort, "key/") {
			continue
		}
		var k Key
		if err := json.Unmarshal(i.Value, &k); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return b.Made.Compare(a.Made) })
	return keys, nil
}

// RevokeKey ends one of a person's keys; one that is not there is no error.
func (g *Grants) RevokeKey(ctx context.Context, p Person, id string) error {
	if len(id) != 22 {
		return nil
	}
	return g.end(ctx, keyKey(p, id))
}

// UseKey returns a key and whose it is, for a server, after the provider was asked not long ago whether the person may still
// sign in, and with which groups. ErrInvalid is every reason why the key is not good, and ErrTarget that it is not for the
// server; where the provider is down the error is provider.ErrUnavailable, and the key is left as it is.
func (g *Grants) UseKey(ctx context.Context, text, server string) (Key, Standing, error) {
	place, ok := locate(text, apikey.Prefix, keysOf, "key/")
	if !ok {
		return Key{}, Standing{}, ErrInvalid
	}
	var k Key
	if _, err := g.get(ctx, place, &k); err != nil {
		return Key{}, Standing{}, err
	}
	switch {
	case !same(k.Hash, seal.Hash(text)):
		return Key{}, Standing{}, ErrInvalid
	case !slices.Contains(k.Servers, server):
		return Key{}, Standing{}, ErrTarget
	}
	s, err := g.standing(ctx, place.Part)
	return k, s, err
}
