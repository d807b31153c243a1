// Package grant keeps what people granted to clients: a grant begins with a code, and goes on by refresh tokens that change
// with each use. All tokens of one grant end together.
//
// It asks the identity provider at each refresh, and makes no access token itself: those need no memory.
package grant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// How long what is kept.
const (
	codeLife    = time.Minute         // RFC 6749 section 4.1.2: ten minutes at most
	codeMemory  = 10 * time.Minute    // of a used code, to notice that it is used again
	grantLife   = 30 * 24 * time.Hour // of a grant, however often it is refreshed
	unaskedLife = 12 * time.Hour      // of a grant for which the provider could not be asked
	consentLife = 365 * 24 * time.Hour
	grace       = 30 * time.Second // in which the refresh token before the last one gets the same answer again
	busyFor     = 20 * time.Second // longer than a refresh can take
)

// ErrInvalid is every reason why a code or refresh token is not good: invalid_grant of RFC 6749 section 5.2.
var ErrInvalid = errors.New("grant: the code or token is invalid, expired, used or revoked")

// ErrTarget says that a refresh asks for another server than the grant is for (RFC 8707).
var ErrTarget = errors.New("grant: it is for another resource")

const refreshPrefix = "mgr_"

// Person is somebody at their provider.
type Person struct{ Issuer, Subject string }

// hash names a person where they are stored.
func (p Person) hash() string {
	sum := sha256.Sum256([]byte(p.Issuer + "\x00" + p.Subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// part is where what a person granted to clients is stored.
func (p Person) part() string { return "person/" + p.hash() }

// keysPart is where their API keys are: however much they granted, their keys are all listed.
func (p Person) keysPart() string { return keysOf + p.hash() }

// AccountsPart is where their accounts at servers are.
func (p Person) AccountsPart() string { return "accounts-of/" + p.hash() }

const keysOf = "keys-of/"

// Grant is what a person granted to a client: to use one server in their name.
type Grant struct {
	ID       string
	Person   Person
	Groups   []string
	Client   string
	Resource string
	Scope    string
	SignedIn time.Time
	Checked  time.Time // when the provider was last asked
	Session  string    // sealed provider.Session
	Current  []byte    // hash of the refresh token
	Previous []byte    // of the one before
	Rotated  time.Time
	Busy     time.Time // until then somebody else is refreshing it
}

// renewer asks whether a session still holds; *provider.Provider is one.
type renewer interface {
	Renew(ctx context.Context, s provider.Session) (renewed provider.Session, asked bool, err error)
}

// Grants keeps grants. Its fields are required.
type Grants struct {
	Store    store.Store
	Sealer   *seal.Sealer
	Provider renewer
	Now      func() time.Time
}

// code is what a code stands for.
type code struct {
	Grant     store.Key
	Client    string
	Redirect  string // as it was in the request; empty where it was not
	Challenge string
	Used      bool
}

// Request is what a client asked for, and a person granted.
type Request struct {
	Client    string
	Redirect  string // empty where the request named none
	Challenge string // PKCE, S256
	Resource  string
	Scope     string
}

const sessionPurpose = "provider's session"

// Begin keeps a grant and returns the code for it (RFC 6749 section 4.1.2).
func (g *Grants) Begin(ctx context.Context, r Request, issuer string, s provider.Session) (string, error) {
	now, person := g.Now(), Person{Issuer: issuer, Subject: s.Subject}
	session, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	kept := Grant{ID: seal.Random()[:22], Person: person, Groups: s.Groups, Client: r.Client, Resource: r.Resource, Scope: r.Scope,
		SignedIn: now, Checked: now, Session: g.Sealer.Seal(sessionPurpose, session)}
	key := store.Key{Part: person.part(), Sort: "grant/" + kept.ID}
	if _, err := g.put(ctx, store.Item{Key: key, Expires: now.Add(codeMemory)}, kept); err != nil {
		return "", err
	}
	secret := seal.Random()
	_, err = g.put(ctx, store.Item{Key: codeKey(secret), Expires: now.Add(codeLife)},
		code{Grant: key, Client: r.Client, Redirect: r.Redirect, Challenge: r.Challenge})
	return secret, err
}

func codeKey(secret string) store.Key {
	return store.Key{Part: "code/" + base64.RawURLEncoding.EncodeToString(seal.Hash(secret)), Sort: "code"}
}

func (g *Grants) put(ctx context.Context, i store.Item, v any) (store.Item, error) {
	var err error
	if i.Value, err = json.Marshal(v); err != nil {
		return i, err
	}
	return g.Store.Put(ctx, i)
}

func (g *Grants) get(ctx context.Context, k store.Key, v any) (store.Item, error) {
	i, err := g.Store.Get(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return i, ErrInvalid
	}
	if err == nil {
		err = json.Unmarshal(i.Value, v)
	}
	return i, err
}

// Redeem turns a code into a grant with its first refresh token. A code that is used twice ends the grant (OAuth 2.1 section
// 4.1.3): one of the two is not who it was for.
func (g *Grants) Redeem(ctx context.Context, secret, client, redirect, verifier, resource string) (Grant, string, error) {
	var c code
	i, err := g.get(ctx, codeKey(secret), &c)
	if err != nil {
		return Grant{}, "", err
	}
	if c.Used {
		return Grant{}, "", errors.Join(ErrInvalid, g.end(ctx, c.Grant))
	}
	// OAuth 2.1 section 10.2 leaves redirect_uri out of this request; where it is sent it must be the same.
	if c.Client != client || redirect != "" && redirect != c.Redirect || !answers(c.Challenge, verifier) {
		return Grant{}, "", ErrInvalid
	}
	var kept Grant
	item, err := g.get(ctx, c.Grant, &kept)
	if err != nil {
		return Grant{}, "", err
	}
	if resource != "" && resource != kept.Resource {
		return Grant{}, "", ErrTarget
	}
	c.Used, i.Expires = true, g.Now().Add(codeMemory)
	if _, err := g.put(ctx, i, c); errors.Is(err, store.ErrConflict) {
		return Grant{}, "", errors.Join(ErrInvalid, g.end(ctx, c.Grant))
	} else if err != nil {
		return Grant{}, "", err
	}
	token := refreshPrefix + kept.Person.hash() + kept.ID + seal.Random()
	kept.Current = seal.Hash(token)
	item.Expires = g.expiry(kept)
	if _, err = g.put(ctx, item, kept); errors.Is(err, store.ErrConflict) {
		err = ErrInvalid // it was revoked meanwhile
	}
	return kept, token, err
}

// answers checks a PKCE verifier (RFC 7636 section 4.6), S256 only.
func answers(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return challenge != "" && subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// expiry is when a grant ends whatever happens.
func (g *Grants) expiry(kept Grant) time.Time {
	end := kept.SignedIn.Add(grantLife)
	var s provider.Session
	if g.open(kept.Session, &s) != nil || s.Refresh == "" {
		if unasked := kept.SignedIn.Add(unaskedLife); unasked.Before(end) {
			return unasked
		}
	}
	return end
}

// open reads a sealed session.
func (g *Grants) open(sealed string, s *provider.Session) error {
	plain, err := g.Sealer.Open(sessionPurpose, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, s)
}

// end removes a grant, whatever has become of it meanwhile.
func (g *Grants) end(ctx context.Context, k store.Key) error {
	for range 5 {
		i, err := g.Store.Get(ctx, k)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = g.Store.Delete(ctx, i); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("end a grant: %w", store.ErrConflict)
}

// locate finds what a refresh token or an API key names: a grant or a key of a person's. Whether it is its text is another
// question.
func locate(text, prefix, part, kind string) (store.Key, bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != 22+22+43 || strings.ContainsAny(rest, "/\x00") || !utf8.ValidString(rest) {
		return store.Key{}, false
	}
	return store.Key{Part: part + rest[:22], Sort: kind + rest[22:44]}, true
}

func same(hash, other []byte) bool {
	return len(hash) > 0 && subtle.ConstantTimeCompare(hash, other) == 1
}
