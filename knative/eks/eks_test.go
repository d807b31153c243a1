package eks

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mcpgateway/knative/eks/ekstest"
)

// fakeIdentity is what a process is for AWS.
type fakeIdentity struct {
	mu    sync.Mutex
	who   aws.Credentials
	err   error
	asked int
}

func (f *fakeIdentity) Retrieve(context.Context) (aws.Credentials, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.who, f.err
}

// renewal is when a token is replaced whose identity does not expire.
const renewal = lifetime * 5 / 7

var alice = aws.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "sesame", SessionToken: "session/+="}

func authenticator() ekstest.Authenticator {
	return ekstest.Authenticator{Cluster: "prod", Region: "eu-central-1", Identity: alice}
}

func newTokens(t *testing.T) (*Tokens, *fakeIdentity) {
	t.Helper()
	f := &fakeIdentity{who: alice}
	tokens, err := New(Config{Cluster: "prod", Region: "eu-central-1", Identity: f})
	if err != nil {
		t.Fatal(err)
	}
	return tokens, f
}

// The fake of AWS takes a token, and takes none in which anything was changed: it would be of no use else.
func TestTokenIsTaken(t *testing.T) {
	tokens, _ := newTokens(t)
	token, err := tokens.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := authenticator().Check(token, now); err != nil {
		t.Fatalf("refused: %v", err)
	}
	if text, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, prefix)); strings.Contains(string(text), alice.SecretAccessKey) {
		t.Errorf("it holds the secret: %s", text)
	}
	other := authenticator()
	other.Cluster = "test"
	stranger := authenticator()
	stranger.Identity.SecretAccessKey = "open"
	for name, err := range map[string]error{
		"another cluster's":  other.Check(token, now),
		"another identity's": stranger.Check(token, now),
		"old":                authenticator().Check(token, now.Add(15*time.Minute+time.Second)),
		"of the future":      authenticator().Check(token, now.Add(-2*time.Minute)),
		"of another kind":    authenticator().Check("k8s-aws-v2."+token, now),
	} {
		if err == nil {
			t.Errorf("a token is taken that is %s", name)
		}
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, prefix))
	if err != nil {
		t.Fatal(err)
	}
	for old, changed := range map[string]string{"GetCallerIdentity": "GetSessionToken", "Expires=60": "Expires=61", "sts.eu-central-1": "sts.evil", "AKIAALICE": "AKIABOB",
		"Version=": "DurationSeconds=1&Version=", "host%3Bx-k8s-aws-id": "host", "https": "http", "amazonaws.com/": "amazonaws.com/x", "X-Amz-Date=2": "X-Amz-Date=3"} {
		if !strings.Contains(string(text), old) {
			t.Errorf("there is no %s in %s", old, text)
		}
		other := prefix + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), old, changed, 1)))
		if authenticator().Check(other, now) == nil {
			t.Errorf("a token is taken with %s", changed)
		}
	}
}

// A token is replaced long before it expires, and until then it is the same: nobody is asked meanwhile.
func TestTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, f := newTokens(t)
		began, last := time.Now(), ""
		for time.Since(began) < time.Hour {
			token, err := tokens.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := authenticator().Check(token, time.Now().Add(time.Minute)); err != nil { // its clock is ahead
				t.Fatalf("after %v: %v", time.Since(began), err)
			}
			if fresh := time.Since(began)%renewal == 0; (token != last) != fresh {
				t.Errorf("after %v: another token %v", time.Since(began), token != last)
			}
			last = token
			time.Sleep(10 * time.Second)
		}
		if f.asked != 6 {
			t.Errorf("the identity was asked for %d times", f.asked)
		}
	})
}

// An identity that is away for a while is not missed, and one that does not come back is, in time.
func TestTokenWithoutIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, f := newTokens(t)
		f.err = errors.New("away")
		if token, err := tokens.Token(t.Context()); token != "" || err == nil || !strings.Contains(err.Error(), "sign in to EKS: away") {
			t.Errorf("%q, %v", token, err)
		}
		f.err = nil
		first, err := tokens.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.err, f.asked = errors.New("away again"), 0
		for range int((lifetime - time.Second) / time.Second) {
			time.Sleep(time.Second)
			if token, err := tokens.Token(t.Context()); token != first || err != nil {
				t.Fatalf("%q, %v", token, err)
			}
		}
		if most := int((lifetime-renewal)/again) + 1; f.asked > most {
			t.Errorf("the identity was asked for %d times in %v", f.asked, lifetime-renewal)
		}
		time.Sleep(time.Second)
		if token, err := tokens.Token(t.Context()); token != "" || err == nil {
			t.Errorf("it holds longer than %v: %q", lifetime, token)
		}
		f.err = nil
		if _, err := tokens.Token(t.Context()); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// No token outlives the session that signed it, for STS would refuse it.
func TestTokenEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, f := newTokens(t)
		f.who.CanExpire, f.who.Expires = true, time.Now().Add(7*time.Minute)
		first, err := tokens.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.err = errors.New("away")
		time.Sleep(7*time.Minute - time.Second)
		if token, err := tokens.Token(t.Context()); token != first || err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := tokens.Token(t.Context()); err == nil {
			t.Error("it is used after its session")
		}
		f.err, f.who.Expires = nil, time.Now().Add(7*time.Minute)
		f.asked = 0
		for range 7 {
			if _, err := tokens.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if f.asked != 2 { // at the start and after five minutes
			t.Errorf("the identity was asked for %d times", f.asked)
		}
	})
}

func TestTokensAreAskedAtOnce(t *testing.T) {
	tokens, f := newTokens(t)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := tokens.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if f.asked != 1 {
		t.Errorf("the identity was asked for %d times", f.asked)
	}
}

func TestNewNeedsAll(t *testing.T) {
	for _, c := range []Config{{Region: "r", Identity: &fakeIdentity{}}, {Cluster: "c", Identity: &fakeIdentity{}}, {Cluster: "c", Region: "r"}} {
		if _, err := New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}
