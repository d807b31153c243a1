package account

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"mcpgateway/internal/identity/identitytest"
)

const issuer = "https://kubernetes.default.svc"

// fakeAPI is an API server that tells how its tokens are verified.
type fakeAPI struct {
	issuer *identitytest.Issuer
	keys   string // instead of the issuer's
	status int    // instead of 200
	asked  int
	as     string // the Authorization that it saw last
}

func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.as = r.Header.Get("Authorization")
	if f.status != 0 {
		w.WriteHeader(f.status)
	}
	switch r.URL.Path {
	case pathIssuer:
		f.asked++
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": f.issuer.URL, "jwks_uri": "https://elsewhere.test/keys"})
	case pathKeys:
		_, _ = io.WriteString(w, f.keys)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func newFake(t *testing.T) (*fakeAPI, *Verifier) {
	t.Helper()
	f := &fakeAPI{issuer: identitytest.New(t, "cluster", issuer)}
	f.keys = string(f.issuer.Config(t).Keys)
	v, err := New(Config{Cluster: &rest.Config{Host: "https://api.test", BearerToken: "own", Transport: f}, Audience: "mcpgateway-deployer", Account: "mcp-system/gateway"})
	if err != nil {
		t.Fatal(err)
	}
	return f, v
}

const gateway = "system:serviceaccount:mcp-system:gateway"

// token is one as an API server signs them.
func (f *fakeAPI) token(t *testing.T, more identitytest.Claims) string {
	t.Helper()
	claims := identitytest.Claims{"iss": issuer, "sub": gateway, "aud": []string{"mcpgateway-deployer"},
		"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "mcp-system", "serviceaccount": map[string]any{"name": "gateway"}}}
	for name, value := range more {
		claims[name] = value
	}
	return f.issuer.Sign(t, "JWT", claims)
}

func TestCheck(t *testing.T) {
	f, v := newFake(t)
	good := f.token(t, nil)
	stranger := &fakeAPI{issuer: identitytest.New(t, "stranger", issuer)}
	header, rest, _ := strings.Cut(good, ".")
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"the gateway's":             {good, nil},
		"for others too":            {f.token(t, identitytest.Claims{"aud": []string{"x", "mcpgateway-deployer"}}), nil},
		"another account's":         {f.token(t, identitytest.Claims{"sub": "system:serviceaccount:mcp-system:deployer"}), ErrAccount},
		"another namespace's":       {f.token(t, identitytest.Claims{"sub": "system:serviceaccount:mcp-servers:gateway"}), ErrAccount},
		"one that begins alike":     {f.token(t, identitytest.Claims{"sub": gateway + "-2"}), ErrAccount},
		"nobody's":                  {f.token(t, identitytest.Claims{"sub": ""}), ErrAccount},
		"for the API server":        {f.token(t, identitytest.Claims{"aud": issuer}), ErrToken},
		"for nobody":                {f.token(t, identitytest.Claims{"aud": []string{}}), ErrToken},
		"another cluster's":         {stranger.token(t, nil), ErrToken},
		"of another issuer":         {f.token(t, identitytest.Claims{"iss": "https://other.test"}), ErrToken},
		"that expired":              {f.token(t, identitytest.Claims{"exp": time.Now().Add(-time.Second).Unix()}), ErrToken},
		"that is not good yet":      {f.token(t, identitytest.Claims{"nbf": time.Now().Add(time.Hour).Unix()}), ErrToken},
		"without a signature":       {"eyJhbGciOiJub25lIn0." + rest[:strings.LastIndex(rest, ".")+1], ErrToken},
		"with another's signature":  {header + "." + rest[:len(rest)-8] + "AAAAAAAA", ErrToken},
		"none":                      {"", ErrToken},
		"no JWT":                    {"secret", ErrToken},
		"longer than a token is":    {f.token(t, identitytest.Claims{"x": strings.Repeat("x", maxToken)}), ErrToken},
		"for an audience like ours": {f.token(t, identitytest.Claims{"aud": "mcpgateway-deployer "}), ErrToken},
	} {
		if err := v.Check(t.Context(), c.token); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: the log would hold %d bytes", name, len(err.Error()))
		}
	}
	if f.as != "Bearer own" {
		t.Errorf("the cluster was asked as %q", f.as)
	}
}

// Whoever sends what no key verifies has the cluster asked once in ten seconds, and new keys are known as soon.
func TestKeysAreAskedForNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, v := newFake(t)
		check := func(token string, want error, asked int) {
			t.Helper()
			if err := v.Check(t.Context(), token); !errors.Is(err, want) || (err == nil) != (want == nil) || f.asked != asked {
				t.Errorf("%v, asked %d times; want %v, %d times", err, f.asked, want, asked)
			}
		}
		old := f.token(t, nil)
		check(old, nil, 1)
		check(old, nil, 1)
		for range 100 {
			check(old[:len(old)-8]+"AAAAAAAA", ErrToken, 1)
		}
		rotated := &fakeAPI{issuer: identitytest.New(t, "cluster", issuer)}
		f.issuer, f.keys = rotated.issuer, string(rotated.issuer.Config(t).Keys)
		check(f.token(t, nil), ErrToken, 1) // not yet
		check(old, nil, 1)
		time.Sleep(pause)
		check(f.token(t, nil), nil, 2)
		check(old, ErrToken, 2)
		f.status = http.StatusServiceUnavailable
		time.Sleep(pause)
		check(old, ErrToken, 3)
		now := f.token(t, nil)
		check(now, nil, 3) // while the API server is away
		time.Sleep(11 * time.Minute)
		check(now, ErrToken, 3) // it expired, which no key mends
	})
}

// Before the cluster has said which keys it has, nobody is accepted, and it is asked every second at most.
func TestWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, v := newFake(t)
		good := f.token(t, nil)
		for name, c := range map[string]struct {
			keys   string
			status int
			want   string
		}{
			"away":      {"", http.StatusBadGateway, "502 Bad Gateway"},
			"forbidden": {"", http.StatusForbidden, "system:service-account-issuer-discovery"},
			"a page":    {"<html>", 0, "read the cluster's keys"},
			"none":      {`{"keys":[]}`, 0, "publishes 0 keys"},
			"a secret":  {`{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}`, 0, "publishes 0 keys"},
			"too much":  {strings.Repeat(" ", maxAnswer) + f.keys, 0, "more than"},
		} {
			time.Sleep(firstPause)
			asked := f.asked
			f.status = c.status
			keys := f.keys
			f.keys = c.keys
			err := v.Check(t.Context(), good)
			if err == nil || errors.Is(err, ErrToken) || errors.Is(err, ErrAccount) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
			f.status, f.keys = 0, keys
			if err := v.Check(t.Context(), good); !errors.Is(err, errNoKeys) || f.asked > asked+1 {
				t.Errorf("%s: asked again at once: %v", name, err)
			}
		}
		time.Sleep(firstPause)
		if err := v.Check(t.Context(), good); err != nil {
			t.Errorf("with keys at last: %v", err)
		}
	})
}

// Who leaves does not wait for who asks.
func TestCheckEndsWithItsCaller(t *testing.T) {
	f, v := newFake(t)
	v.turn <- struct{}{}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := v.Check(ctx, f.token(t, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNewNeedsAll(t *testing.T) {
	cluster := &rest.Config{Host: "https://api.test"}
	for _, c := range []Config{{Audience: "a", Account: "a/b"}, {Cluster: cluster, Account: "a/b"}, {Cluster: cluster, Audience: "a"},
		{Cluster: cluster, Audience: "a", Account: "b"}, {Cluster: cluster, Audience: "a", Account: "/b"}, {Cluster: cluster, Audience: "a", Account: "a/"}} {
		if _, err := New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// Whatever an API server says its keys are: only those that it signs with are kept, and not too many.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err == nil && (len(keys) == 0 || len(keys) > maxKeys) || err != nil && keys != nil {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if rsa, ok := k.(*rsa.PublicKey); ok && rsa.N.BitLen() < 2048 {
				t.Errorf("a key of %d bits", rsa.N.BitLen())
			}
		}
	})
}
