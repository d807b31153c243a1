package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/store"
)

// seenBefore is a store that knows what was put there before.
type seenBefore map[store.Key]bool

func (s seenBefore) Put(_ context.Context, i store.Item) (store.Item, error) {
	if err := store.Check(i); err != nil {
		return i, err
	}
	if s[i.Key] {
		return i, store.ErrConflict
	}
	s[i.Key] = true
	return i, nil
}

func (seenBefore) Get(context.Context, store.Key) (store.Item, error) {
	return store.Item{}, store.ErrNotFound
}
func (seenBefore) List(context.Context, string) ([]store.Item, error) { return nil, nil }
func (seenBefore) Delete(context.Context, store.Item) error           { return store.ErrConflict }

// Whatever a client signs, what passes for an assertion is the client's own, for us, for ten minutes at most, and once.
func FuzzAssertion(f *testing.F) {
	const us = "https://oauth.example"
	now := time.Unix(1_800_000_000, 0)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		f.Fatal(err)
	}
	keys := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}}
	s := &server{url: us, now: func() time.Time { return now }, clients: &client.Clients{Static: client.Static{
		"night": {ID: "night", Auth: client.AuthKeyJWT, Keys: keys}, "robot": {ID: "robot", Auth: client.AuthBasic, Keys: keys}}}}
	good := fmt.Sprintf(`{"iss":"night","sub":"night","aud":"%s","jti":"1","exp":%d,"iat":%d}`, us, now.Unix()+60, now.Unix())
	for _, seed := range []string{good, `{"iss":"night","sub":"night","aud":["https://oauth.example/token"],"jti":"1","exp":1800000599,"nbf":1800000000}`,
		`{"iss":"robot","sub":"robot","aud":"https://oauth.example","jti":"1","exp":1800000060}`, `{"iss":"night","iss":"x"}`, `[]`, `{"sub":"night","iss":"night","exp":1e99}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Skip()
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Skip()
		}
		s.store = seenBefore{}
		r := &http.Request{PostForm: url.Values{"client_assertion_type": {assertionType}, "client_assertion": {text}}}
		if _, err := s.assertedClient(r.WithContext(t.Context())); err != nil {
			return
		}
		if _, err := s.assertedClient(r.WithContext(t.Context())); err == nil {
			t.Fatalf("%q is good twice", payload)
		}
		checkAssertion(t, payload, us, now)
	})
}

// checkAssertion reads the claims in its own way.
func checkAssertion(t *testing.T, payload []byte, us string, now time.Time) {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatalf("%q passes: %v", payload, err)
	}
	audiences, many := c["aud"].([]any)
	if !many {
		audiences = []any{c["aud"]}
	}
	if c["iss"] != "night" || c["sub"] != "night" || len(audiences) != 1 || !slices.Contains([]any{us, us + "/", us + "/token"}, audiences[0]) {
		t.Fatalf("%q passes for night's, for us", payload)
	}
	id, _ := c["jti"].(string)
	expires, _ := c["exp"].(float64)
	if left := expires - float64(now.Unix()); id == "" || left < -31 || left > 601 {
		t.Fatalf("%q has the id %q and %v s left", payload, id, left)
	}
	for _, name := range []string{"nbf", "iat"} {
		if from, there := c[name].(float64); there && from-float64(now.Unix()) > 31 {
			t.Fatalf("%q passes before its time", payload)
		}
	}
}
