package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/apikey"
	"mcpgateway/internal/catalog"
)

// keyServer is an authorization server that has one key.
type keyServer struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Value // func(w, r)
}

type answering = func(w http.ResponseWriter, r *http.Request)

// keyRig is a gateway with an authorization server that gives tokens of the rig's issuer for every key, and what shims were sent.
func keyRig(t *testing.T) (*rig, *keyServer, *atomic.Value) {
	sent := &atomic.Value{}
	sent.Store("")
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		sent.Store(q.Header.Get("Authorization"))
		answerJSON(w, q)
	})
	s := &keyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.asked.Add(1)
		s.answer.Load().(answering)(w, q)
	}))
	t.Cleanup(s.Close)
	s.answer.Store(answering(func(w http.ResponseWriter, q *http.Request) {
		resource := q.PostFormValue("resource")
		if q.URL.Path != "/token" || q.PostFormValue("client_id") != apikey.Client || q.PostFormValue("subject_token_type") != apikey.TokenType ||
			q.PostFormValue("subject_token") != goodKey || q.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || resource != public+"/mcp-connect/github" {
			t.Errorf("asked for %s %v", q.URL.Path, q.PostForm)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": r.issuer.Token(t, "alice", resource, []string{"engineering"}, nil), "expires_in": 240})
	}))
	r.version.Platform.OAuth = &catalog.OAuth{URL: s.URL}
	if err := r.gateway.accept(r.version); err != nil {
		t.Fatal(err)
	}
	return r, s, sent
}

var goodKey = apikey.Prefix + strings.Repeat("k", 87)

func says(status int, body string) answering {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

// Whoever is behind the gateway gets a token, and never the key; many calls cost one exchange.
func TestKeyIsReplaced(t *testing.T) {
	r, s, sent := keyRig(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if resp, body := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 200 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	all.Wait()
	if got := sent.Load().(string); !strings.HasPrefix(got, "Bearer ey") || strings.Contains(got, goodKey) {
		t.Errorf("the shim was sent %q", got)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	if text := fmt.Sprint(r.audit.records(t)); strings.Contains(text, goodKey) {
		t.Error("the key is in an audit record")
	}
}

// A key that was revoked opens nothing five minutes later, whatever the gateway remembers.
func TestRevokedKeyIsForgotten(t *testing.T) {
	r, s, _ := keyRig(t)
	var ahead atomic.Int64
	r.gateway.keys.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	call := func() (int, string) {
		resp, body := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey))
		return resp.StatusCode, body + resp.Header.Get("WWW-Authenticate")
	}
	if status, body := call(); status != 200 {
		t.Fatal(status, body)
	}
	good := s.answer.Load()
	s.answer.Store(says(400, `{"error":"invalid_request","error_description":"the API key is revoked"}`))
	if status, _ := call(); status != 200 {
		t.Errorf("at once: %d", status)
	}
	ahead.Store(int64(apikey.Life - keyRenewBefore))
	if status, body := call(); status != 401 || !strings.Contains(body, "The API key was refused: the API key is revoked") || !strings.Contains(body, `error="invalid_token"`) {
		t.Errorf("when the token is to be replaced: %d %s", status, body)
	}
	n := s.asked.Load()
	if status, _ := call(); status != 401 || s.asked.Load() != n {
		t.Errorf("a refused key is asked for again at once")
	}
	s.answer.Store(good)
	ahead.Add(int64(keyRefusedFor))
	if status, _ := call(); status != 200 {
		t.Errorf("later: %d", status)
	}
}

// What is not the key's fault is no refusal, and is not remembered.
func TestKeysWithoutServer(t *testing.T) {
	r, s, _ := keyRig(t)
	good := s.answer.Load()
	for name, answer := range map[string]answering{
		"down":     says(503, `{"error":"temporarily_unavailable"}`),
		"no such":  says(401, `{"error":"invalid_client"}`),
		"no token": says(200, `{}`),
		"no JSON":  says(200, `<html>`),
		"elsewhere": func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/token" {
				http.Redirect(w, q, "/elsewhere", http.StatusTemporaryRedirect)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": r.token(t, "alice", "github"), "expires_in": 240})
		},
		"another code": says(400, `{"error":"unauthorized_client"}`),
	} {
		s.answer.Store(answer)
		if resp, body := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	s.answer.Store(good)
	if resp, body := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 200 {
		t.Errorf("when it is there: %d %s", resp.StatusCode, body)
	}
}

// What is given for a key is a token like any other: the policies decide, and it is for one server.
func TestKeyOpensNoMore(t *testing.T) {
	r, s, _ := keyRig(t)
	s.answer.Store(answering(func(w http.ResponseWriter, q *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": r.issuer.Token(t, "bob", q.PostFormValue("resource"), []string{"sales"}, nil), "expires_in": 240})
	}))
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 403 {
		t.Errorf("somebody who is not admitted: %d", resp.StatusCode)
	}
	n := s.asked.Load()
	for name, key := range map[string]string{"short": goodKey[:60], "long": goodKey + "k", "another prefix": "x" + goodKey[1:], "other letters": goodKey[:80] + strings.Repeat("=", 11)} {
		if resp, _ := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+key)); resp.StatusCode != 401 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if s.asked.Load() != n {
		t.Error("what is no key is asked for")
	}
	r.version.Platform.OAuth = nil
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 401 {
		t.Errorf("without an authorization server: %d", resp.StatusCode)
	}
}

// Keys that nobody made cost neither memory nor the authorization server's time without bound.
func TestKeysAreBounded(t *testing.T) {
	r, s, _ := keyRig(t)
	k := r.gateway.keys
	for n := range maxKeyAnswers {
		k.remember(keyHash{0: byte(n), 1: byte(n >> 8), 2: 1}, keyAnswer{refused: keyRefused("no"), until: k.now().Add(time.Hour)})
	}
	if n := len(k.known); n != maxKeyAnswers/2 {
		t.Errorf("%d refusals are remembered", n)
	}
	for n := range maxKeyAnswers + 10 {
		k.remember(keyHash{byte(n), byte(n >> 8)}, keyAnswer{token: "x", until: k.now().Add(time.Hour)})
	}
	if n := len(k.known); n != maxKeyAnswers {
		t.Errorf("%d answers are remembered", n)
	}
	k.turns = newTurns(0, 0, 0, 0)
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 503 || s.asked.Load() != 0 {
		t.Errorf("one more than may be under way: %d", resp.StatusCode)
	}
}

// Who floods with keys that nobody made keeps nobody else's from being exchanged, from however many addresses they come.
func TestFloodOfKeys(t *testing.T) {
	r, s, _ := keyRig(t)
	good := s.answer.Load().(answering)
	s.answer.Store(answering(func(w http.ResponseWriter, q *http.Request) {
		if q.PostFormValue("subject_token") == goodKey {
			good(w, q)
			return
		}
		time.Sleep(20 * time.Millisecond)
		says(400, `{"error":"invalid_request","error_description":"no such key"}`)(w, q)
	}))
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var refused atomic.Int32
	for n := range 400 { // ten times what may be under way, from 40 addresses
		flood.Go(func() {
			for tries := 0; ctx.Err() == nil; tries++ {
				made := fmt.Sprintf("%s%087d", apikey.Prefix, n*1_000_000+tries)
				if _, err := r.gateway.keys.token(ctx, fmt.Sprintf("192.0.2.%d", n%40), s.URL, made, public+"/mcp-connect/github"); errors.As(err, new(keyRefused)) {
					refused.Add(1)
				}
			}
		})
	}
	for refused.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	for n := range 10 {
		r.gateway.keys.mu.Lock()
		clear(r.gateway.keys.known) // as if it was the first call
		r.gateway.keys.mu.Unlock()
		began := time.Now()
		if resp, body := r.do(t, r.request(t, "POST", "github", echo, "Authorization", "Bearer "+goodKey)); resp.StatusCode != 200 || time.Since(began) > keyWait {
			t.Errorf("%d: %d %s after %v", n, resp.StatusCode, body, time.Since(began))
		}
	}
	stop()
	flood.Wait()
	turns := r.gateway.keys.turns
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // what was asked for goes on without who asked
		turns.mu.Lock()
		n := len(turns.sources)
		turns.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Since(began) > 2*keyWait {
			t.Fatalf("%d sources are remembered", n)
		}
	}
}
