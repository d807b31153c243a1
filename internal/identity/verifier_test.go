package identity

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func TestVerifyReturnsIdentity(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	es, rs, ed := newES256(t, "es"), newRS256(t, "rs", 2048), newEdDSA(t, "ed")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, es, rs, ed)
	v := newTestVerifier(t, net, bound(home))
	full := Identity{
		Issuer: home, Subject: "alice", Groups: []string{"engineering"}, Client: "editor", Expiry: now.Add(time.Hour),
	}
	for _, tc := range []struct {
		name    string
		key     testKey
		header  object
		changes object
		want    func(*Identity)
	}{
		{name: "ES256", key: es},
		{name: "RS256", key: rs},
		{name: "EdDSA", key: ed},
		{name: "type with prefix, any case", key: es, header: object{"typ": "application/AT+JWT"}},
		{name: "one of several audiences", key: es, changes: object{"aud": []string{"https://other.example", resource}}},
		{name: "groups as text", key: es, changes: object{"groups": "sales"},
			want: func(i *Identity) { i.Groups = []string{"sales"} }},
		{name: "no groups", key: es, changes: object{"groups": nil}, want: func(i *Identity) { i.Groups = nil }},
		{name: "empty groups", key: es, changes: object{"groups": ""}, want: func(i *Identity) { i.Groups = nil }},
		{name: "scope", key: es, changes: object{"scope": "a b"},
			want: func(i *Identity) { i.Scopes = []string{"a", "b"} }},
		{name: "scp", key: es, changes: object{"scp": []string{"a", "b"}},
			want: func(i *Identity) { i.Scopes = []string{"a", "b"} }},
		{name: "azp", key: es, changes: object{"client_id": nil, "azp": "cli"},
			want: func(i *Identity) { i.Client = "cli" }},
		{name: "clock behind by less than the leeway", key: es,
			changes: object{"iat": now.Add(50 * time.Second).Unix(), "nbf": now.Add(50 * time.Second).Unix()}},
		{name: "expired within the leeway", key: es, changes: object{"exp": now.Add(-50 * time.Second).Unix()},
			want: func(i *Identity) { i.Expiry = now.Add(-50 * time.Second) }},
		{name: "fractions of a second", key: es, changes: object{"exp": float64(now.Add(time.Hour).Unix()) + 0.5}},
		{name: "distributed claims other than groups", key: es, changes: object{
			"_claim_names": object{"address": "src"}, "_claim_sources": object{"src": object{"endpoint": "https://x"}}}},
		{name: "claims nobody knows", key: es, changes: object{"x": object{"y": []int{1}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := full
			if tc.want != nil {
				tc.want(&want)
			}
			token := tc.key.mint(t, with(tc.key.header(), tc.header), with(body(now), tc.changes))
			for range 2 { // the second time from the cache
				got, err := v.Verify(t.Context(), token, []string{"https://alias.example/mcp", resource})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestOneSubjectOfTwoIssuersIsTwoIdentities(t *testing.T) {
	ours, theirs := newES256(t, "k1"), newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, ours)
	net.publish(partner, theirs)
	v := newTestVerifier(t, net, bound(home), bound(partner))
	a, err := v.Verify(t.Context(), ours.token(t, nil), []string{resource})
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Verify(t.Context(), theirs.token(t, object{"iss": partner}), []string{resource})
	if err != nil {
		t.Fatal(err)
	}
	if a.Issuer != home || b.Issuer != partner || a.Subject != b.Subject {
		t.Errorf("got %v and %v", a, b)
	}
	// Neither can speak for the other, though both call their key k1.
	refused(t, v, theirs.token(t, nil), errBadSignature)
	refused(t, v, ours.token(t, object{"iss": partner}), errBadSignature)
}

func TestAudiences(t *testing.T) {
	key := newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	token := func(aud string) string { return key.token(t, object{"aud": aud}) }
	shared := Issuer{URL: home, Audiences: []string{"api://x"}, InsecureSharedAudience: true}
	prefixed := Issuer{URL: home, Audiences: []string{"api://{resource}", "{resource}"}}
	for _, tc := range []struct {
		name      string
		issuer    Issuer
		aud       string
		resources []string
		want      error
	}{
		{"shared", shared, "api://x", []string{resource}, nil},
		{"shared, other", shared, resource, []string{resource}, errAudience},
		{"prefixed", prefixed, "api://" + resource, []string{resource}, nil},
		{"second resource", prefixed, "b", []string{"a", "b"}, nil},
		{"no resource", prefixed, "api://", nil, errAudience},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newTestVerifier(t, net, tc.issuer).Verify(t.Context(), token(tc.aud), tc.resources)
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestGroupsClaimIsConfigured(t *testing.T) {
	key := newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	issuer := bound(home)
	issuer.GroupsClaim = "https://example/roles"
	v := newTestVerifier(t, net, issuer)
	id, err := v.Verify(t.Context(), key.token(t, object{"https://example/roles": []string{"admin"}}), []string{resource})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"admin"}, id.Groups); diff != "" {
		t.Error(diff)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	for name, issuers := range map[string][]Issuer{
		"no issuer":           nil,
		"the same twice":      {bound(home), bound(home)},
		"http":                {bound("http://issuer.example")},
		"http to an address":  {bound("http://10.0.0.1")},
		"no URL":              {bound("issuer")},
		"another scheme":      {bound("ftp://issuer.example")},
		"a query":             {bound(home + "?a=b")},
		"an empty query":      {bound(home + "?")},
		"a fragment":          {bound(home + "#")},
		"a user":              {bound("https://a@issuer.example")},
		"no audience":         {{URL: home}},
		"an empty audience":   {{URL: home, Audiences: []string{"{resource}", ""}}},
		"a shared audience":   {{URL: home, Audiences: []string{"{resource}", "api://x"}}},
		"another token type":  {{URL: home, Audiences: []string{"{resource}"}, TokenType: "ID"}},
		"a snapshot of words": {{URL: home, Audiences: []string{"{resource}"}, Keys: []byte("keys")}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewVerifier(Config{Issuers: issuers}); err == nil {
				t.Error("accepted")
			}
		})
	}
	for _, url := range []string{home, partner, home + "/", "http://127.0.0.1:8081", "http://[::1]:1", "http://localhost:8081"} {
		if _, err := NewVerifier(Config{Issuers: []Issuer{bound(url)}}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := newES256(f, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	v := newTestVerifier(f, net, bound(home))
	f.Add(string(encode(f, key.header())), string(encode(f, body(time.Now()))), "sig")
	neighbour := body(time.Now())
	neighbour["aud"] = []string{resource + "-2"}
	f.Add(string(encode(f, key.header())), string(encode(f, neighbour)), "sig")
	f.Add(`{"alg":"none","typ":"at+jwt"}`, `{"iss":"https://issuer.example"}`, "")
	f.Add(`{"alg":"ES256","jwk":{"kty":"RSA"}}`, `{"exp":1e999}`, "\xff")
	f.Fuzz(func(t *testing.T, header, claims, sig string) {
		forged := segment([]byte(header)) + "." + segment([]byte(claims)) + "." + segment([]byte(sig))
		for _, token := range []string{forged, header, header + "." + claims + "." + sig} {
			if id, err := v.Verify(context.Background(), token, []string{resource}); err == nil {
				t.Fatalf("%q passes as %+v", token, id)
			}
		}
		// What an issuer signs is only read, never a reason to crash; the header is ours so that the claims are reached.
		id, err := v.Verify(context.Background(), key.mintText(t, encode(t, key.header()), []byte(claims)), []string{resource})
		if err == nil && (id.Issuer != home || id.Subject == "" || len(id.Groups) > maxNames || id.Expiry.IsZero()) {
			t.Fatalf("%q passes as %+v", claims, id)
		}
		if err == nil {
			checkRead(t, claims, id)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, key := range []testKey{newES256(b, "k1"), newRS256(b, "k1", 2048)} {
		net := newFakeIssuers(map[string][]jose.JSONWebKey{})
		net.publish(home, key)
		v := newTestVerifier(b, net, bound(home))
		token := key.token(b, nil)
		for _, warm := range []string{"cached", "checked"} {
			b.Run(key.alg+"/"+warm, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if warm == "checked" {
						v.cache = newCache()
					}
					if _, err := v.Verify(b.Context(), token, []string{resource}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The verifier that follows another asks no issuer again that both have, and knows how old its keys are.
func TestVerifierAfterAnother(t *testing.T) {
	key, other := newES256(t, "k1"), newES256(t, "k2")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	net.publish(partner, other)
	first := newTestVerifier(t, net, bound(home))
	if _, err := first.Verify(t.Context(), key.token(t, nil), []string{resource}); err != nil {
		t.Fatal(err)
	}
	net.setDown(true)
	changed := bound(home)
	changed.GroupsClaim = "roles"
	next, err := NewVerifier(Config{Issuers: []Issuer{changed, bound(partner)}, HTTPClient: &http.Client{Transport: net}, Before: first})
	if err != nil {
		t.Fatal(err)
	}
	id, err := next.Verify(t.Context(), key.token(t, object{"roles": []string{"admin"}}), []string{resource})
	if err != nil || len(id.Groups) != 1 || id.Groups[0] != "admin" {
		t.Errorf("while the issuer is down: %+v, %v", id, err)
	}
	if _, err := next.Verify(t.Context(), other.token(t, object{"iss": partner}), []string{resource}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an issuer that is new and down: %v", err)
	}
	if _, err := first.Verify(t.Context(), other.token(t, object{"iss": partner}), []string{resource}); !errors.Is(err, errUnknownIssuer) {
		t.Errorf("the first verifier learned of an issuer: %v", err)
	}
}

// Keys and tokens grow old while a process is frozen: then the monotonic clock may stand still.
func TestClockOfAFrozenProcess(t *testing.T) {
	v, err := NewVerifier(Config{Issuers: []Issuer{{URL: home, Audiences: []string{"{resource}"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]func() time.Time{"tokens": v.now, "keys": v.issuers[0].keys.now} {
		if at := now(); at != at.Round(0) {
			t.Errorf("%s: %v has a monotonic reading", name, at)
		}
	}
}
