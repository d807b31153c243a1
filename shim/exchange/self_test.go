package exchange

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

func filterServer() rules.FilterServer {
	return rules.FilterServer{URL: "https://gateway.test/mcp-connect/checker", Tool: "filter", Egress: "public", Entry: "checker",
		Caller: &rules.FilterUser{Issuer: "https://login.test", Client: rules.Client{ID: "notes-shim", Auth: rules.AuthBasic}}}
}

func newSelf(t *testing.T, i *issuer, depth int) *Self {
	t.Helper()
	s, err := NewSelf(SelfConfig{Server: filterServer(), Depth: depth, Secret: secret.New("own secret")})
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint.http = i
	return s
}

func TestTokenOfOurOwn(t *testing.T) {
	i := &issuer{answer: gives(600)}
	got, err := newSelf(t, i, 2).Token(t.Context())
	if err != nil || got.Reveal() != "issued-1" {
		t.Fatalf("%q, %v", got.Reveal(), err)
	}
	want := url.Values{"grant_type": {"client_credentials"}, "resource": {"https://gateway.test/mcp-connect/checker"}, "filter_depth": {"2"}}
	if diff := cmp.Diff(want, i.requests[0]); diff != "" {
		t.Error(diff)
	}
	who := http.Request{Header: i.headers[0]}
	if id, password, _ := who.BasicAuth(); id != "notes-shim" || password != "own+secret" {
		t.Errorf("as %q, %q", id, password)
	}
}

func TestHowLongATokenOfOurOwnIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{answer: gives(600)}
		s := newSelf(t, i, 1)
		ask := func(want int) {
			t.Helper()
			if got, err := s.Token(t.Context()); err != nil || got.Reveal() != fmt.Sprint("issued-", want) {
				t.Errorf("got %q, %v; want %d", got.Reveal(), err, want)
			}
		}
		ask(1)
		time.Sleep(600*time.Second - maxSkew - time.Millisecond)
		ask(1)
		time.Sleep(2 * time.Millisecond)
		ask(2)
		s.Refused(secret.New("issued-2")) // it was had just now: another would be refused too
		ask(2)
		time.Sleep(renewEvery)
		s.Refused(secret.New("issued-1")) // of before
		ask(2)
		s.Refused(secret.New("issued-2"))
		ask(3)
	})
}

// All who need a token at once wait for one, and it comes though who asked first has left.
func TestTokenOfOurOwnIsOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{answer: gives(600), blocked: make(chan struct{})}
		s := newSelf(t, i, 1)
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Token(first); err == nil {
				t.Error("who left has a token")
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				if got, err := s.Token(t.Context()); err != nil || got.Reveal() != "issued-1" {
					t.Errorf("%q, %v", got.Reveal(), err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(i.blocked)
		all.Wait()
		if n := i.asked(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A refusal is remembered, so that a wrong secret costs the authorization server no request a call, and repeats no secret.
func TestNoTokenOfOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{answer: says(401, `{"error":"invalid_client","error_description":"no client with own secret"}`)}
		s := newSelf(t, i, 1)
		for range 3 {
			if _, err := s.Token(t.Context()); err == nil || strings.Contains(err.Error(), "own secret") || !strings.Contains(err.Error(), "invalid_client") {
				t.Errorf("%v", err)
			}
		}
		if n := i.asked(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		i.answer = gives(600)
		time.Sleep(brokenFor)
		if got, err := s.Token(t.Context()); err != nil || got.Reveal() != "issued-2" {
			t.Errorf("afterwards: %q, %v", got.Reveal(), err)
		}
	})
}

func TestNewSelfRefuses(t *testing.T) {
	nobody := filterServer()
	nobody.Caller = nil
	for want, c := range map[string]SelfConfig{
		"are required":      {Server: nobody, Depth: 1, Secret: secret.New("x")},
		"Depth are":         {Server: filterServer(), Secret: secret.New("x")},
		"secret is missing": {Server: filterServer(), Depth: 1},
	} {
		if _, err := NewSelf(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}
