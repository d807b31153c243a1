package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSignInURL(t *testing.T) {
	u := newUpstream(t)
	text, err := u.provider.SignInURL(t.Context(), "a-state", nonce, "a-verifier-a-verifier-a-verifier-a-verifier")
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {"https://us.example/callback"}, "state": {"a-state"},
		"nonce": {nonce}, "scope": {"openid offline_access"}, "prompt": {"consent"}, "code_challenge_method": {"S256"}}
	got := address.Query()
	if len(got.Get("code_challenge")) != 43 || strings.Contains(text, "a-verifier") {
		t.Errorf("challenge %q", got.Get("code_challenge"))
	}
	want["code_challenge"] = got["code_challenge"]
	// Nothing else: some providers refuse `resource`.
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(text, u.url+"/authorize?") {
		t.Errorf("%s %s", text, diff)
	}
}

func TestRedeem(t *testing.T) {
	u := newUpstream(t)
	got, err := u.provider.Redeem(t.Context(), "a-code", "a-verifier", nonce)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.AccessEnds); left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("the access token ends in %v", left)
	}
	want := Session{Subject: "alice", Name: "Alice", Groups: []string{"staff"}, Refresh: "refresh-1", Access: "access-1", AccessEnds: got.AccessEnds}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if u.form.Get("code") != "a-code" || u.form.Get("code_verifier") != "a-verifier" || u.form.Get("redirect_uri") != "https://us.example/callback" {
		t.Errorf("sent %v", u.form)
	}
}

// unsigned is a token that claims to need no signature.
func unsigned(u *upstream) string {
	_, rest, _ := strings.Cut(u.idToken(nil), ".")
	body, _, _ := strings.Cut(rest, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + body + "."
}

func TestRedeemRefusesIDTokens(t *testing.T) {
	u := newUpstream(t)
	for name, token := range map[string]any{
		"none":              nil,
		"no text":           7,
		"garbage":           "a.b.c",
		"another sign-in's": u.idToken(claims{"nonce": "another"}),
		"no nonce":          u.idToken(claims{"nonce": nil}),
		"another client's":  u.idToken(claims{"aud": "other"}),
		"another issuer's":  u.idToken(claims{"iss": u.url + "/"}),
		"expired":           u.idToken(claims{"exp": time.Now().Add(-time.Minute).Unix()}),
		"another key's":     u.signed(newKey(t), nil),
		"unsigned":          unsigned(u),
		"nobody's":          u.idToken(claims{"sub": ""}),
		"a number's":        u.idToken(claims{"sub": 7}),
		"of a long name":    u.idToken(claims{"sub": strings.Repeat("a", maxSubject+1)}),
		"of a line break":   u.idToken(claims{"sub": "alice\nbob"}),
		"of broken UTF-8":   u.idToken(claims{"sub": "alice\ufffd"}),
	} {
		u.gives["id_token"] = token
		if s, err := u.provider.Redeem(t.Context(), "c", "v", nonce); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// The clock of a machine that is ahead is ours to go by.
func TestRedeemGoesByItsClock(t *testing.T) {
	u := newUpstream(t)
	u.pass(6 * time.Minute)
	if _, err := u.provider.Redeem(t.Context(), "c", "v", nonce); !errors.Is(err, ErrRefused) {
		t.Errorf("an ID token that has expired: %v", err)
	}
}

func TestUserInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   error
		groups []string
	}{
		"groups":         {200, `{"sub":"alice","groups":["staff","admins"]}`, nil, []string{"admins", "staff"}},
		"no groups":      {200, `{"sub":"alice"}`, nil, nil},
		"another person": {200, `{"sub":"bob","groups":["admins"]}`, ErrRefused, nil},
		"nobody":         {200, `{"groups":["admins"]}`, ErrRefused, nil},
		"signed out":     {401, `{}`, ErrRefused, nil},
		"not allowed":    {403, `{}`, ErrRefused, nil},
		"down":           {500, `{}`, ErrUnavailable, nil},
		"elsewhere":      {302, ``, ErrUnavailable, nil},
		"no JSON":        {200, `<html>`, ErrUnavailable, nil},
		"huge":           {200, `{"sub":"alice","x":"` + strings.Repeat("x", maxBody) + `"}`, ErrUnavailable, nil},
		"left out":       {200, `{"sub":"alice","_claim_names":{"groups":"src1"}}`, ErrGroups, nil},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.gives["id_token"] = u.idToken(claims{"groups": nil, "email": "alice@example.com", "name": nil})
			u.says(tc.status, tc.body)
			s, err := u.provider.Redeem(t.Context(), "c", "v", nonce)
			if !errors.Is(err, tc.want) || err == nil && !cmp.Equal(s.Groups, tc.groups) {
				t.Errorf("%+v, %v", s, err)
			}
			if err == nil && s.Name != "alice@example.com" {
				t.Errorf("what the ID token says is lost: %+v", s)
			}
			if u.bearer != "Bearer access-1" {
				t.Errorf("asked as %q", u.bearer)
			}
		})
	}
}

// Where the ID token names the groups nobody else is asked.
func TestUserInfoNotNeeded(t *testing.T) {
	u := newUpstream(t)
	u.says(500, "")
	if _, err := u.provider.Redeem(t.Context(), "c", "v", nonce); err != nil || u.asked["/userinfo"] > 0 {
		t.Errorf("%v, asked %d times", err, u.asked["/userinfo"])
	}
}

// A redirect of the provider's would have us send a person's token, and our secret, to whoever it names.
func TestFollowsNoRedirect(t *testing.T) {
	u, other := newUpstream(t), newUpstream(t)
	other.says(200, `{"sub":"alice","groups":["admins"]}`)
	away := func(w http.ResponseWriter) {
		w.Header().Set("Location", other.url+"/userinfo")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	u.gives["id_token"] = u.idToken(claims{"groups": nil})
	u.userInfo = away
	if s, err := u.provider.Redeem(t.Context(), "c", "v", nonce); !errors.Is(err, ErrUnavailable) {
		t.Errorf("userinfo: %+v, %v", s, err)
	}
	u.token = away
	if s, err := u.provider.Redeem(t.Context(), "c", "v", nonce); !errors.Is(err, ErrUnavailable) {
		t.Errorf("token: %+v, %v", s, err)
	}
	if len(other.asked) > 0 {
		t.Errorf("it was followed: %v", other.asked)
	}
}

func TestRenew(t *testing.T) {
	u := newUpstream(t)
	had := Session{Subject: "alice", Refresh: "refresh-0", Access: "access-0", AccessEnds: u.now().Add(-time.Hour)}
	s, asked, err := u.provider.Renew(t.Context(), had)
	if err != nil || !asked || s.Refresh != "refresh-1" || !cmp.Equal(s.Groups, []string{"staff"}) {
		t.Errorf("%+v, %v, %v", s, asked, err)
	}
	if u.form.Get("grant_type") != "refresh_token" || u.form.Get("refresh_token") != "refresh-0" {
		t.Errorf("sent %v", u.form)
	}
	for name, token := range map[string]string{"another person's": u.idToken(claims{"sub": "bob"}), "another key's": u.signed(newKey(t), nil),
		"another client's": u.idToken(claims{"aud": "other"}), "expired": u.idToken(claims{"exp": u.now().Add(-time.Minute).Unix()})} {
		u.gives["id_token"] = token
		if s, asked, err := u.provider.Renew(t.Context(), had); !errors.Is(err, ErrRefused) || asked {
			t.Errorf("%s: %+v, %v, %v", name, s, asked, err)
		}
	}
	more := newUpstream(t) // whose userinfo would do
	more.says(200, `{"sub":"alice","groups":["admins"]}`)
	more.gives["id_token"] = more.signed(newKey(t), claims{"groups": nil})
	if s, asked, err := more.provider.Renew(t.Context(), had); !errors.Is(err, ErrRefused) || asked {
		t.Errorf("another key's, and good userinfo: %+v, %v, %v", s, asked, err)
	}
	delete(u.gives, "id_token")
	if s, asked, err := u.provider.Renew(t.Context(), had); !errors.Is(err, ErrRefused) || asked {
		t.Errorf("nothing says who it is: %+v, %v, %v", s, asked, err)
	}
}

// A refresh needs no ID token (OpenID Connect Core section 12.2): userinfo says then who it is.
func TestRenewWithoutIDToken(t *testing.T) {
	u := newUpstream(t)
	delete(u.gives, "id_token")
	u.says(200, `{"sub":"alice","groups":"sales"}`)
	s, asked, err := u.provider.Renew(t.Context(), Session{Subject: "alice", Refresh: "refresh-0"})
	if err != nil || !asked || !cmp.Equal(s.Groups, []string{"sales"}) || u.bearer != "Bearer access-1" {
		t.Errorf("%+v, %v, %v; asked as %q", s, asked, err, u.bearer)
	}
	u.says(200, `{"sub":"bob","groups":"sales"}`)
	if s, asked, err := u.provider.Renew(t.Context(), Session{Subject: "alice", Refresh: "refresh-0"}); !errors.Is(err, ErrRefused) || asked {
		t.Errorf("another person: %+v, %v, %v", s, asked, err)
	}
}

func TestRenewByAccessToken(t *testing.T) {
	u := newUpstream(t)
	u.says(200, `{"sub":"alice","groups":["sales"]}`)
	had := Session{Subject: "alice", Access: "access-0", AccessEnds: u.now().Add(time.Minute)}
	s, asked, err := u.provider.Renew(t.Context(), had)
	if err != nil || !asked || !cmp.Equal(s.Groups, []string{"sales"}) || s.Access != "access-0" || u.bearer != "Bearer access-0" {
		t.Errorf("%+v, %v, %v", s, asked, err)
	}
	u.says(401, ``)
	if _, asked, err := u.provider.Renew(t.Context(), had); !errors.Is(err, ErrRefused) || asked {
		t.Errorf("%v, %v", asked, err)
	}
	u.says(500, ``)
	if _, asked, err := u.provider.Renew(t.Context(), had); !errors.Is(err, ErrUnavailable) || asked {
		t.Errorf("%v, %v", asked, err)
	}
	before := u.asked["/userinfo"]
	u.pass(time.Minute)
	for name, had := range map[string]Session{"ended": had, "none": {Subject: "alice"}} {
		if s, asked, err := u.provider.Renew(t.Context(), had); err != nil || asked || s.Subject != "alice" {
			t.Errorf("%s: %+v, %v, %v", name, s, asked, err)
		}
	}
	if u.asked["/userinfo"] != before {
		t.Error("asked with a token that has ended")
	}
}

// What the token endpoint says of a person ends their grant; what it says of us, or of itself, does not.
func TestTokenErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"signed out":       {400, `{"error":"invalid_grant"}`, ErrRefused},
		"consent needed":   {400, `{"error":"interaction_required"}`, ErrRefused},
		"access denied":    {403, `{"error":"access_denied"}`, ErrRefused},
		"our secret":       {401, `{"error":"invalid_client"}`, ErrUnavailable},
		"our rights":       {400, `{"error":"unauthorized_client"}`, ErrUnavailable},
		"not now":          {400, `{"error":"temporarily_unavailable"}`, ErrUnavailable},
		"its error":        {400, `{"error":"server_error"}`, ErrUnavailable},
		"slow down":        {400, `{"error":"slow_down"}`, ErrUnavailable},
		"too many":         {429, `{"error":"invalid_grant"}`, ErrUnavailable},
		"timeout":          {408, `{"error":"invalid_grant"}`, ErrUnavailable},
		"broken":           {500, `{"error":"invalid_grant"}`, ErrUnavailable},
		"a proxy's":        {403, `<html>`, ErrUnavailable},
		"no token":         {200, `{}`, ErrUnavailable},
		"no JSON":          {200, `<html>`, ErrUnavailable},
		"huge":             {200, strings.Repeat(" ", maxBody+1), ErrUnavailable},
		"a long word":      {400, `{"error":"` + strings.Repeat("x", 5000) + `"}`, ErrRefused},
		"nothing but zero": {400, "\x00", ErrUnavailable},
	} {
		u := newUpstream(t)
		u.token = answer(tc.status, tc.body)
		_, err := u.provider.Redeem(t.Context(), "c", "v", nonce)
		_, asked, again := u.provider.Renew(t.Context(), Session{Subject: "alice", Refresh: "r"})
		for _, err := range []error{err, again} {
			if !errors.Is(err, tc.want) || asked || len(fmt.Sprint(err)) > 600 {
				t.Errorf("%s: %.700v, %v", name, err, asked)
			}
		}
	}
}

func TestProviderGoneOrSlow(t *testing.T) {
	for name, token := range map[string]func(http.ResponseWriter){
		"slow": func(http.ResponseWriter) { time.Sleep(200 * time.Millisecond) },
		"gone": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		u := newUpstream(t)
		u.token = token
		if _, err := u.provider.SignInURL(t.Context(), "s", "n", "v"); err != nil {
			t.Fatal(err)
		}
		if wait := u.provider.client.Timeout; wait <= 0 || wait > 10*time.Second {
			t.Errorf("waits %v, which is longer than a server that stops", wait)
		}
		u.provider.client.Timeout = 50 * time.Millisecond
		if _, _, err := u.provider.Renew(t.Context(), Session{Subject: "alice", Refresh: "r"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	u := newUpstream(t)
	begin := func() error {
		_, err := u.provider.SignInURL(t.Context(), "s", "n", "v")
		return err
	}
	const path = "/.well-known/openid-configuration"
	u.discovery = answer(503, "")
	if err := begin(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("down from the beginning: %v", err)
	}
	u.discovery, u.issuer = nil, u.url+"/other"
	if err := begin(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("another's document: %v", err)
	}
	u.issuer = u.url
	before := u.asked[path]
	for range 3 {
		if err := begin(); err != nil {
			t.Error(err)
		}
	}
	if n := u.asked[path] - before; n != 1 {
		t.Errorf("read %d times within an hour", n)
	}
	u.pass(61 * time.Minute)
	u.discovery = answer(503, "")
	if err := begin(); err != nil || u.asked[path]-before != 2 {
		t.Errorf("down after an hour: %v, read %d times", err, u.asked[path]-before)
	}
}

// An answer that names another issuer is none of the provider's, and neither is one without a name where it promises one.
func TestSent(t *testing.T) {
	u := newUpstream(t)
	for name, tc := range map[string]struct {
		promises any // authorization_response_iss_parameter_supported
		answer   url.Values
		ours     bool
	}{
		"named":                 {nil, url.Values{"iss": {u.url}}, true},
		"another":               {nil, url.Values{"iss": {"https://other.example"}}, false},
		"with a slash":          {nil, url.Values{"iss": {u.url + "/"}}, false},
		"empty":                 {nil, url.Values{"iss": {""}}, false},
		"no name, no promise":   {nil, url.Values{}, true},
		"no name, it has none":  {false, url.Values{}, true},
		"no name, it promised":  {true, url.Values{"code": {"c"}}, false},
		"an error, it promised": {true, url.Values{"error": {"access_denied"}}, false},
		"named as promised":     {true, url.Values{"iss": {u.url}}, true},
	} {
		u.pass(2 * time.Hour) // the document is read anew
		u.named = tc.promises
		if ours, err := u.provider.Sent(t.Context(), tc.answer); ours != tc.ours || err != nil {
			t.Errorf("%s: %v, %v", name, ours, err)
		}
	}
	u.pass(2 * time.Hour)
	u.named = "perhaps"
	if ours, err := u.provider.Sent(t.Context(), url.Values{}); ours || !errors.Is(err, ErrUnavailable) {
		t.Errorf("a promise that is no truth value: %v, %v", ours, err)
	}
}

// Keys are fetched when they are first needed, in another request than the one that discovered the provider.
func TestDiscoveryOutlivesRequest(t *testing.T) {
	u := newUpstream(t)
	ctx, leave := context.WithCancel(t.Context())
	if _, err := u.provider.SignInURL(ctx, "s", "n", "v"); err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := u.provider.Redeem(t.Context(), "c", "v", nonce); err != nil {
		t.Error(err)
	}
}
