package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/secret"
)

// A token is kept until shortly before it ends, and no longer than the caller's own lasts.
func TestHowLongATokenIsKept(t *testing.T) {
	for _, c := range []struct {
		name    string
		says    string
		subject time.Duration // that the caller's token lasts
		kept    time.Duration
	}{
		{"an hour", `"expires_in":3600`, 24 * time.Hour, time.Hour - maxSkew},
		{"as text", `"expires_in":"3600"`, 24 * time.Hour, time.Hour - maxSkew},
		{"a fraction", `"expires_in":40.5`, time.Hour, 40500*time.Millisecond - 40500*time.Millisecond/4},
		{"a short one", `"expires_in":4`, time.Hour, 3 * time.Second},
		{"longer than the caller's", `"expires_in":3600`, time.Minute, time.Minute},
		{"not said", `"scope":"x"`, time.Hour, unsaid - unsaid/4},
		{"null", `"expires_in":null`, time.Hour, unsaid - unsaid/4},
		{"for ever", `"expires_in":1e300`, 100 * 24 * time.Hour, maxLife - maxSkew},
		{"longer than numbers are", `"expires_in":1e999`, 100 * 24 * time.Hour, maxLife - maxSkew},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{answer: says(200, `{"access_token":"x","token_type":"bearer",`+c.says+`}`)}
				e, who := newExchanger(t, testRules(), Secrets{}, i), caller()
				who.Expiry = time.Now().Add(c.subject)
				ask := func(want int) {
					t.Helper()
					if got, err := tokenOf(t, e, subject, who); err != nil || got != "Bearer x" || i.asked() != want {
						t.Errorf("got %q, %v; asked %d times, want %d", got, err, i.asked(), want)
					}
				}
				ask(1)
				time.Sleep(c.kept - time.Millisecond)
				ask(1)
				time.Sleep(2 * time.Millisecond)
				ask(2)
			})
		})
	}
}

// A caller's token that is over within the leeway is exchanged, and what comes of it is not kept.
func TestSubjectTokenThatIsOver(t *testing.T) {
	i := &issuer{answer: gives(3600)}
	e, who := newExchanger(t, testRules(), Secrets{}, i), caller()
	who.Expiry = time.Now().Add(-time.Second)
	for n := 1; n < 3; n++ {
		if got, err := tokenOf(t, e, subject, who); err != nil || got != fmt.Sprintf("Bearer issued-%d", n) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// An issuer that refuses what is over says what it says of a malformed request (RFC 8693 section 2.2.2): the caller is to sign
// in again then, and nobody to look into the configuration.
func TestIssuerRefusesWhatIsOver(t *testing.T) {
	for over, want := range map[bool]int{true: http.StatusUnauthorized, false: http.StatusBadGateway} {
		e, who := newExchanger(t, testRules(), Secrets{}, &issuer{answer: says(400, `{"error":"invalid_request"}`)}), caller()
		if over {
			who.Expiry = time.Now().Add(-time.Second)
		}
		if _, err := tokenOf(t, e, subject, who); err == nil || err.Status != want {
			t.Errorf("over %v: %v", over, err)
		}
	}
}

// Whichever clock says that a token is over, it is: the wall clock may be set back, the other stands still in sleep.
func TestClockThatJumps(t *testing.T) {
	for name, c := range map[string]struct {
		wall, run time.Duration // that pass
		asked     int
	}{
		"none":                             {time.Minute, time.Minute, 1},
		"back, token over":                 {-24 * time.Hour, 2 * time.Hour, 2},
		"back, token not over":             {-24 * time.Hour, time.Minute, 1},
		"ahead":                            {24 * time.Hour, time.Minute, 2},
		"asleep for longer than the token": {2 * time.Hour, time.Second, 2},
	} {
		i := &issuer{answer: gives(3600)}
		e, who := newExchanger(t, testRules(), Secrets{}, i), caller()
		now := instant{wall: time.Now(), run: 0}
		e.now = func() instant { return now }
		who.Expiry = now.wall.Add(48 * time.Hour)
		if _, err := tokenOf(t, e, subject, who); err != nil {
			t.Fatal(err)
		}
		now = instant{now.wall.Add(c.wall), now.run + c.run}
		if _, err := tokenOf(t, e, subject, who); err != nil || i.asked() != c.asked {
			t.Errorf("%s: %v, asked %d times, want %d", name, err, i.asked(), c.asked)
		}
	}
}

// Everybody who asks at the same time gets the one answer; who does not wait leaves without it, and without ending it.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{answer: gives(3600), blocked: make(chan struct{})}
		e := newExchanger(t, testRules(), Secrets{}, i)
		who := caller()
		impatient, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		got := make([]string, 20)
		all.Go(func() { // begins the flight, and leaves
			if _, err := e.Credential(impatient, subject, who); mcp.AsError(err).Status != mcp.StatusClientLeft || !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		for n := range got {
			all.Go(func() {
				// Their tokens differ, who they are does not.
				c, err := e.Credential(t.Context(), secret.New(fmt.Sprint("token ", n)), who)
				if err != nil {
					t.Error(err)
					return
				}
				got[n] = sent(t, c)
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(i.blocked)
		all.Wait()
		for _, token := range got {
			if token != "Bearer issued-1" {
				t.Errorf("got %q", token)
			}
		}
		if i.asked() != 1 {
			t.Errorf("asked %d times", i.asked())
		}
	})
}

// A refused token says nothing of another one of the same person, even when both are asked for at once.
func TestRefusalIsOfOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{blocked: make(chan struct{})}
		i.answer = func(n int) (int, string) {
			if n == 1 {
				return 400, `{"error":"invalid_grant"}`
			}
			return gives(60)(n)
		}
		e, who := newExchanger(t, testRules(), Secrets{}, i), caller()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := e.Credential(t.Context(), secret.New("revoked"), who); err == nil || mcp.AsError(err).Status != 401 {
				t.Errorf("the revoked token: %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if got, err := tokenOf(t, e, secret.New("good"), who); err != nil || got != "Bearer issued-2" {
				t.Errorf("the good token: %q, %v", got, err)
			}
		})
		synctest.Wait()
		close(i.blocked)
		all.Wait()
	})
}

// A no is remembered for a moment: a caller that tries again and again costs the issuer nothing.
func TestRefusalsAreRemembered(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(int) (int, string)
		status int
		kept   time.Duration
	}{
		"refused": {says(400, `{"error":"invalid_grant"}`), 401, refusedFor},
		"denied":  {says(403, `{"error":"access_denied"}`), 403, refusedFor},
		"broken":  {says(200, `<html>`), 502, brokenFor},
		"down":    {says(503, ``), 503, brokenFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{answer: c.answer}
				e := newExchanger(t, testRules(), Secrets{}, i)
				ask := func(s secret.Text, want int) {
					t.Helper()
					if _, err := tokenOf(t, e, s, caller()); err == nil || err.Status != c.status || i.asked() != want {
						t.Errorf("got %v, asked %d times, want %d", err, i.asked(), want)
					}
				}
				ask(subject, 1)
				ask(subject, 1)
				ask(secret.New("another"), 2)
				time.Sleep(c.kept - time.Millisecond)
				ask(subject, 2)
				time.Sleep(2 * time.Millisecond)
				ask(subject, 3)
			})
		})
	}
}

// An issuer that says nothing is waited for as long as a flight may last.
func TestSilentIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{blocked: make(chan struct{})}
		e, began := newExchanger(t, testRules(), Secrets{}, i), time.Now()
		_, err := tokenOf(t, e, subject, caller())
		if err == nil || err.Status != 503 || err.RetryAfter <= 0 || time.Since(began) != flightTime {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// Everything that an issuer may decide by makes another key.
func TestWhatIsNotShared(t *testing.T) {
	base := testRules().Exchange
	seen := map[key]string{keyOf(caller(), base, "actor"): "base"}
	add := func(name string, k key) {
		if other, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[k] = name
	}
	for name, change := range map[string]func(*identity.Identity){
		"issuer": func(i *identity.Identity) { i.Issuer = "https://other.test" },
		"sub":    func(i *identity.Identity) { i.Subject = "bob" },
		"client": func(i *identity.Identity) { i.Client = "other" },
		"scope":  func(i *identity.Identity) { i.Scopes = []string{"write"} },
		"scopes": func(i *identity.Identity) { i.Scopes = []string{"read", "write"} },
		"joined": func(i *identity.Identity) { i.Scopes = []string{"read write"} },
		"none":   func(i *identity.Identity) { i.Scopes = nil },
		"acr":    func(i *identity.Identity) { i.ACR = "2" },
		"act":    func(i *identity.Identity) { i.Actor = `{"sub":"agent"}` },
		"moved":  func(i *identity.Identity) { i.Client, i.ACR = i.ACR, i.Client },
		"glued":  func(i *identity.Identity) { i.Issuer, i.Subject = i.Issuer+"a", "lice" },
	} {
		who := caller()
		change(&who)
		add(name, keyOf(who, base, "actor"))
	}
	audience, resource := *base, *base
	audience.Audience, resource.Resource = "a", "a"
	add("actor", keyOf(caller(), base, "other actor"))
	add("audience", keyOf(caller(), &audience, "actor"))
	add("resource", keyOf(caller(), &resource, "actor"))
	who := caller()
	who.Scopes = []string{"b", "a", "b"}
	again := caller()
	again.Scopes = []string{"a", "b"}
	if keyOf(who, base, "") != keyOf(again, base, "") {
		t.Error("the order of scopes makes another key")
	}
	if who.Scopes[0] != "b" {
		t.Error("the identity's scopes were sorted in place")
	}
}

func TestNoRulesNoCredential(t *testing.T) {
	var e *Exchanger
	c, err := e.Credential(t.Context(), subject, caller())
	if c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	if again, err := c.Renew(t.Context()); again || err != nil {
		t.Errorf("%v, %v", again, err)
	}
}
