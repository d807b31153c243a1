package grant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// consentKey names what was consented to: this client, at this place, for this server and these scopes, by this person.
func consentKey(p Person, r Request) store.Key {
	what := strings.Join([]string{r.Client, r.Redirect, r.Resource, r.Scope}, "\x00")
	return store.Key{Part: p.part(), Sort: "consent/" + base64.RawURLEncoding.EncodeToString(seal.Hash(what))}
}

// Consent remembers that a person lets a client do what it asks for.
func (g *Grants) Consent(ctx context.Context, p Person, r Request) error {
	key := consentKey(p, r)
	item, err := g.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		item, err = store.Item{Key: key}, nil
	}
	if err != nil {
		return err
	}
	item.Expires = g.Now().Add(consentLife)
	_, err = g.put(ctx, item, struct{ Client, Resource string }{r.Client, r.Resource})
	if errors.Is(err, store.ErrConflict) {
		return nil // in another tab
	}
	return err
}

// Consented tells whether a person has let a client do what it asks for.
func (g *Grants) Consented(ctx context.Context, p Person, r Request) (bool, error) {
	_, err := g.Store.Get(ctx, consentKey(p, r))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Question is what a person is asked: whether a client may act for them. They are signed in, and have not answered.
type Question struct {
	Request Request
	State   string // the client's, to hand back
	Where   string // the redirect URI, also where the request named none
	Person  Person
	Name    string
	Browser []byte // hash of the cookie of the browser that was asked
	Session string // sealed
}

// questionLife is how long a person may think.
const questionLife = codeMemory

func questionKey(id string) store.Key {
	return store.Key{Part: "question/" + base64.RawURLEncoding.EncodeToString(seal.Hash(id)), Sort: "question"}
}

// Ask keeps a question and returns the name under which its answer comes.
func (g *Grants) Ask(ctx context.Context, q Question, session any) (string, error) {
	plain, err := json.Marshal(session)
	if err != nil {
		return "", err
	}
	q.Session = g.Sealer.Seal(sessionPurpose, plain)
	id := seal.Random()
	_, err = g.put(ctx, store.Item{Key: questionKey(id), Expires: g.Now().Add(questionLife)}, q)
	return id, err
}

// Answer takes a question back, once, in the browser that it was asked in. ErrInvalid is every reason why not.
func (g *Grants) Answer(ctx context.Context, id, browser string, session any) (Question, error) {
	var q Question
	item, err := g.get(ctx, questionKey(id), &q)
	if err != nil {
		return q, err
	}
	if !same(q.Browser, seal.Hash(browser)) {
		return q, ErrInvalid
	}
	if err := g.Store.Delete(ctx, item); errors.Is(err, store.ErrConflict) {
		return q, ErrInvalid
	} else if err != nil {
		return q, err
	}
	plain, err := g.Sealer.Open(sessionPurpose, q.Session)
	if err != nil {
		return q, ErrInvalid
	}
	return q, json.Unmarshal(plain, session)
}
