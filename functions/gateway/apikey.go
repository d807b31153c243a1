package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/apikey"
	"mcpgateway/internal/clock"
)

// Bounds of what keys may cost.
const (
	maxKeyAnswers  = 4096             // that are remembered
	maxExchanges   = 32               // under way at once
	maxOfSource    = 24               // of them for one source
	keyQueue       = 64               // that wait, of one source
	keyQueues      = 1024             // that wait
	keyWait        = 5 * time.Second  // for a turn
	exchangeTime   = 20 * time.Second // longer than the authorization server waits for the identity provider
	keyRefusedFor  = 10 * time.Second // that a refusal is remembered
	keyRenewBefore = time.Minute      // that a token is replaced before it ends, for it to reach the shim in time
	maxKeyAnswer   = 64 << 10         // bytes
)

// keyRefused is what the authorization server says of a key that it does not take.
type keyRefused string

func (k keyRefused) Error() string { return string(k) }

// keys exchanges API keys at the authorization server for tokens, which are used in their place from then on: the one
// credential that the gateway replaces. What is remembered is under the hash of a key, and no longer than the token is good.
type keys struct {
	client  *http.Client
	now     func() time.Time
	flights singleflight.Group
	turns   *turns // made-up keys look like those that are good: who floods with them keeps others from nothing

	mu    sync.Mutex
	known map[keyHash]keyAnswer
}

type keyHash [sha256.Size]byte

// keyAnswer is a token, or a refusal.
type keyAnswer struct {
	token   string
	refused error
	until   time.Time
}

func newKeys() *keys {
	return &keys{now: clock.Wall, turns: newTurns(maxExchanges, maxOfSource, keyQueue, keyQueues), known: map[keyHash]keyAnswer{}, client: &http.Client{Timeout: exchangeTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// token returns the token for a key at a resource, which came from a source. A keyRefused is the key's fault, and every other
// error somebody else's.
func (k *keys) token(ctx context.Context, from, server, key, resource string) (string, error) {
	hash := keyHash(sha256.Sum256([]byte(strings.Join([]string{server, resource, key}, "\x00"))))
	if a, ok := k.remembered(hash); ok {
		return a.token, a.refused
	}
	ch := k.flights.DoChan(string(hash[:]), func() (any, error) {
		flight := context.WithoutCancel(ctx)
		waiting, cancel := context.WithTimeout(flight, keyWait)
		defer cancel()
		if err := k.turns.take(waiting, from); err != nil {
			return nil, fmt.Errorf("exchange API key: %w", err)
		}
		defer k.turns.give(from)
		a, err := k.exchange(flight, server, key, resource)
		if err == nil {
			k.remember(hash, a)
		}
		return a, err
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return "", r.Err
		}
		a := r.Val.(keyAnswer)
		return a.token, a.refused
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (k *keys) remembered(hash keyHash) (keyAnswer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.known[hash]
	return a, ok && k.now().Before(a.until)
}

// remember makes room where there is none: by what has ended, or else by any. Refusals get half of it, so that strangers' keys
// push no token out.
func (k *keys) remember(hash keyHash, a keyAnswer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.refused != nil && len(k.known) >= maxKeyAnswers/2 {
		return
	}
	if len(k.known) >= maxKeyAnswers {
		now := k.now()
		for h, old := range k.known {
			if !now.Before(old.until) {
				delete(k.known, h)
			}
		}
		for h := range k.known {
			if len(k.known) < maxKeyAnswers {
				break
			}
			delete(k.known, h)
		}
	}
	k.known[hash] = a
}

// exchange asks the authorization server (RFC 8693 section 2.1).
func (k *keys) exchange(ctx context.Context, server, key, resource string) (keyAnswer, error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {apikey.Client}, "resource": {resource},
		"subject_token": {key}, "subject_token_type": {apikey.TokenType}}
	asked := k.now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return keyAnswer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := k.client.Do(r)
	if err != nil {
		return keyAnswer{}, err
	}
	defer resp.Body.Close()
	var answer struct {
		Access string `json:"access_token"`
		Life   int64  `json:"expires_in"`
		Error  string `json:"error"`
		Text   string `json:"error_description"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeyAnswer))
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	switch {
	case err != nil:
		return keyAnswer{}, fmt.Errorf("%s answers %s: %w", server, resp.Status, err)
	case resp.StatusCode == http.StatusBadRequest && (answer.Error == "invalid_request" || answer.Error == "invalid_target"):
		return keyAnswer{refused: keyRefused(answer.Text), until: asked.Add(keyRefusedFor)}, nil
	case resp.StatusCode != http.StatusOK || answer.Access == "":
		return keyAnswer{}, fmt.Errorf("%s answers %s %.100q", server, resp.Status, answer.Error)
	}
	life := min(time.Duration(answer.Life)*time.Second, apikey.Life)
	return keyAnswer{token: answer.Access, until: asked.Add(max(life-keyRenewBefore, 0))}, nil
}
