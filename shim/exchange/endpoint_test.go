package exchange

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/telemetry"
)

func TestRequests(t *testing.T) {
	const urn = "urn:ietf:params:oauth:"
	for name, c := range map[string]struct {
		change func(*rules.Exchange)
		want   url.Values
		basic  string
	}{
		"least": {func(*rules.Exchange) {}, url.Values{"grant_type": {urn + "grant-type:token-exchange"}, "subject_token": {subject.Reveal()},
			"subject_token_type": {urn + "token-type:access_token"}, "requested_token_type": {urn + "token-type:access_token"}, "client_id": {"shim"}}, ""},
		"all": {func(x *rules.Exchange) {
			x.Audience, x.Resource, x.Scopes, x.SubjectTokenType, x.RequestedTokenType = "aud", "https://r.test", []string{"a", "b"}, "jwt", "jwt"
			x.ActorTokenType, x.Client.Auth = "jwt", rules.AuthPost
		}, url.Values{"grant_type": {urn + "grant-type:token-exchange"}, "subject_token": {subject.Reveal()}, "subject_token_type": {urn + "token-type:jwt"},
			"requested_token_type": {urn + "token-type:jwt"}, "audience": {"aud"}, "resource": {"https://r.test"}, "scope": {"a b"},
			"actor_token": {"actor-token"}, "actor_token_type": {urn + "token-type:jwt"}, "client_id": {"shim"}, "client_secret": {"p:w %+é"}}, ""},
		"on behalf of": {func(x *rules.Exchange) {
			x.Grant, x.Scopes, x.Client.Auth, x.Client.ID = rules.GrantJWTBearer, []string{"api://x/.default"}, rules.AuthBasic, "a b"
		}, url.Values{"grant_type": {urn + "grant-type:jwt-bearer"}, "assertion": {subject.Reveal()}, "requested_token_use": {"on_behalf_of"},
			"scope": {"api://x/.default"}}, "a+b:p%3Aw+%25%2B%C3%A9"},
	} {
		t.Run(name, func(t *testing.T) {
			i, cr := &issuer{answer: gives(60)}, testRules()
			c.change(cr.Exchange)
			e := newExchanger(t, cr, Secrets{Client: secret.New("p:w %+é"), Actor: secret.New("actor-token")}, i)
			if _, err := tokenOf(t, e, subject, caller()); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, i.requests[0]); d != "" {
				t.Error(d)
			}
			basic := ""
			if c.basic != "" {
				basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.basic))
			}
			if got := i.headers[0].Get("Authorization"); got != basic {
				t.Errorf("Authorization %q, want %q", got, basic)
			}
		})
	}
}

// What an issuer may send instead of a token, and what becomes of it.
func TestBadAnswers(t *testing.T) {
	ok := func(members string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{"+members+"}") }
	}
	failed := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const good = `"access_token":"x","token_type":"Bearer","expires_in":60`
	for name, c := range map[string]struct {
		h      http.HandlerFunc
		status int
		says   string // in the log
	}{
		"HTML":                   {failed(200, "<html>sign in</html>"), 502, "no JSON object"},
		"HTML with an error":     {failed(500, "<html>"), 503, "answered 500"},
		"nothing":                {failed(200, ""), 502, "no JSON object"},
		"list":                   {failed(200, "[]"), 502, "no JSON object"},
		"text":                   {failed(200, `"x"`), 502, "no JSON object"},
		"null":                   {failed(200, "null"), 502, "no JSON object"},
		"two documents":          {failed(200, "{"+good+"}{"+good+"}"), 502, "no JSON object"},
		"two tokens":             {ok(good + `,"access_token":"y"`), 502, "no JSON object"},
		"another case":           {ok(`"Access_Token":"x","token_type":"Bearer"`), 502, "no access_token"},
		"no UTF-8":               {failed(200, "{"+good+",\"scope\":\"\xff\"}"), 502, "no JSON object"},
		"without a token":        {ok(`"token_type":"Bearer","expires_in":60`), 502, "no access_token"},
		"token of a number":      {ok(`"access_token":1,"token_type":"Bearer"`), 502, "no JSON object"},
		"token with a newline":   {ok(`"access_token":"x\r\nX-Admin: 1","token_type":"Bearer"`), 502, "no bearer token may"},
		"token with a space":     {ok(`"access_token":"x y","token_type":"Bearer"`), 502, "no bearer token may"},
		"long token":             {ok(`"access_token":"` + strings.Repeat("x", maxToken+1) + `","token_type":"Bearer"`), 502, "more than 16384 bytes"},
		"no type":                {ok(`"access_token":"x"`), 502, "only bearer tokens"},
		"DPoP":                   {ok(`"access_token":"x","token_type":"DPoP"`), 502, "only bearer tokens"},
		"N_A for access token":   {ok(`"access_token":"x","token_type":"N_A"`), 502, "only bearer tokens"},
		"a refresh token":        {ok(good + `,"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"`), 502, "refresh_token"},
		"an ID token":            {ok(good + `,"issued_token_type":"urn:ietf:params:oauth:token-type:id_token"`), 502, "id_token"},
		"negative expiry":        {ok(`"access_token":"x","token_type":"Bearer","expires_in":-1`), 502, "over already"},
		"no time":                {ok(`"access_token":"x","token_type":"Bearer","expires_in":0`), 502, "over already"},
		"very negative":          {ok(`"access_token":"x","token_type":"Bearer","expires_in":-1e999`), 502, "over already"},
		"no number":              {ok(`"access_token":"x","token_type":"Bearer","expires_in":"NaN"`), 502, "no number"},
		"expiry of a list":       {ok(`"access_token":"x","token_type":"Bearer","expires_in":[60]`), 502, "no number"},
		"the caller's own":       {ok(`"access_token":"` + subject.Reveal() + `","token_type":"Bearer"`), 502, "the caller's own token"},
		"huge":                   {ok(good + `,"scope":"` + strings.Repeat("x", maxResponse) + `"`), 502, "more than 65536 bytes"},
		"compressed":             {failed(200, "\x1f\x8b\x08\x00", "Content-Encoding", "gzip"), 502, "no JSON object"},
		"redirect":               {failed(302, "", "Location", "https://elsewhere.test/"), 502, "answered 302"},
		"redirect with the body": {failed(307, "{"+good+"}", "Location", "/elsewhere"), 502, "answered 307"},
		"created":                {failed(201, "{"+good+"}"), 502, "answered 201"},
		"too much":               {failed(429, "", "Retry-After", "7"), 503, "answered 429"},
		"unavailable":            {failed(400, `{"error":"temporarily_unavailable"}`), 503, "temporarily_unavailable"},
		"invalid client":         {failed(401, `{"error":"invalid_client"}`), 502, "invalid_client"},
		"invalid request":        {failed(400, `{"error":"invalid_request"}`), 502, "invalid_request"},
		"invalid target":         {failed(400, `{"error":"invalid_target"}`), 502, "invalid_target"},
		"denied":                 {failed(403, `{"error":"access_denied"}`), 403, "access_denied"},
		"error with 200":         {failed(200, `{"error":"invalid_grant"}`), 401, "invalid_grant"},
		"error and token":        {failed(400, "{"+good+`,"error":"invalid_grant"}`), 401, "invalid_grant"},
		"unknown error":          {failed(400, `{"error":"x"}`), 502, `"x"`},
		"long error":             {failed(400, `{"error":"`+strings.Repeat("x", 1000)+`"}`), 502, "error \"[…]…\""},
		"headers without end":    {failed(200, "{"+good+"}", "X-Long", strings.Repeat("x", maxHead+1)), 503, "reach the token endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			var paths atomic.Int32
			e := newExchanger(t, listening(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/token" {
					paths.Add(1)
				}
				c.h(w, r)
			}), Secrets{}, nil)
			got, err := tokenOf(t, e, subject, caller())
			if err == nil || err.Status != c.status || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %q, %v", got, err)
			}
			if len(err.Error()) > 1000 || strings.Contains(err.Error(), subject.Reveal()) {
				t.Errorf("the log is told %s", err)
			}
			if strings.Contains(err.Message, "answered") || paths.Load() > 0 {
				t.Errorf("the caller is told %s; elsewhere %d", err.Message, paths.Load())
			}
			if name == "too much" && err.RetryAfter != 7*time.Second {
				t.Errorf("retry after %v", err.RetryAfter)
			}
		})
	}
}

// An answer that does not end is read as far as one may be long; one that comes a byte at a time, as long as it may take.
func TestEndlessAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		h     http.HandlerFunc
		waits time.Duration
		want  kind
	}{
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		}, time.Minute, broken},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(10 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		}, 50 * time.Millisecond, unavailable},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 50 * time.Millisecond, unavailable},
	} {
		e := newExchanger(t, listening(t, c.h), Secrets{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), c.waits)
		if _, f := e.endpoint.ask(ctx, subject, nil); f == nil || f.kind != c.want {
			t.Errorf("%s: %v", name, f)
		}
		cancel()
	}
}

// An issuer that repeats the request in its error tells neither log nor caller what stood in it.
func TestNothingOfTheRequestIsRepeated(t *testing.T) {
	const long = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhbGljZSJ9"
	password, actor, caller1 := secret.New("hunter2"), secret.New("actor2"), secret.New(long+".signature")
	c := listening(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"`+r.Form.Get("subject_token")+" "+r.Form.Get("client_secret")+" "+
			r.Form.Get("actor_token")+" part "+long[5:60]+` end"}`)
	})
	c.Exchange.Client.Auth, c.Exchange.ActorTokenType = rules.AuthPost, "jwt"
	_, err := tokenOf(t, newExchanger(t, c, Secrets{Client: password, Actor: actor}, nil), caller1, caller())
	if err == nil || !strings.Contains(err.Error(), "end") {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"hunter2", "actor2", long[5:25], "signature"} {
		if strings.Contains(err.Error()+err.Message+err.Header.Get("Www-Authenticate"), part) {
			t.Errorf("%q is in %v", part, err)
		}
	}
}

// The token endpoint is reached where the operator named it, and nowhere else.
func TestGuard(t *testing.T) {
	var asked atomic.Int32
	h := func(http.ResponseWriter, *http.Request) { asked.Add(1) }
	proxy := httptest.NewServer(http.HandlerFunc(h))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	for name, change := range map[string]func(*rules.Exchange){
		"not named":       func(x *rules.Exchange) { x.Egress = "public" },
		"another port":    func(x *rules.Exchange) { x.Egress = "127.0.0.1/32 1" },
		"another address": func(x *rules.Exchange) { x.Egress = "127.0.0.2/32 80" },
		"too wide":        func(x *rules.Exchange) { x.Egress = "0.0.0.0/0 " + x.Egress[len("127.0.0.1/32 "):] },
	} {
		c := listening(t, h)
		change(c.Exchange)
		if _, err := tokenOf(t, newExchanger(t, c, Secrets{}, nil), subject, caller()); err == nil || err.Status != 503 || !strings.Contains(err.Error(), "egress") {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Message, "127") {
			t.Errorf("the caller is told %s", err.Message)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestChallenges(t *testing.T) {
	const metadata = `Bearer resource_metadata="https://gateway.test/.well-known/oauth-protected-resource/mcp-connect/github", error="`
	for body, want := range map[string]string{
		`{"error":"invalid_grant"}`:        metadata + `invalid_token", error_description="`,
		`{"error":"invalid_token"}`:        metadata + `invalid_token", error_description="`,
		`{"error":"interaction_required"}`: metadata + `insufficient_user_authentication", error_description="`,
		`{"error":"consent_required"}`:     metadata + `insufficient_user_authentication", error_description="`,
		`{"error":"invalid_grant","error_description":"AADSTS50076: Due to a configuration change you must use multi-factor authentication"}`: metadata + `insufficient_user_authentication", error_description="`,
		`{"error":"invalid_grant","error_description":"AADSTS500760: other"}`:                                                                 metadata + `invalid_token", error_description="`,
		`{"error":"interaction_required","claims":"{\"access_token\": {\"capolids\":{\"values\":[\"c1\"]}}}"}`:                                metadata + `insufficient_claims", error_description="`,
		`{"error":"interaction_required","claims":{"access_token": {}}}`:                                                                      metadata + `insufficient_claims", error_description="`,
		`{"error":"interaction_required","claims":"\" , evil=\"1"}`:                                                                           metadata + `insufficient_user_authentication", error_description="`,
		`{"error":"interaction_required","claims":"[1]"}`:                                                                                     metadata + `insufficient_user_authentication", error_description="`,
		`{"error":"interaction_required","claims":"{\"a\":\"` + strings.Repeat("x", maxClaims) + `\"}"}`:                                      metadata + `insufficient_user_authentication", error_description="`,
	} {
		i := &issuer{answer: says(400, body)}
		_, err := tokenOf(t, newExchanger(t, testRules(), Secrets{}, i), subject, caller())
		if err == nil || err.Status != 401 || err.Code != mcp.CodeRefused || !strings.Contains(err.Message, "sign in again") {
			t.Errorf("%.100s: %v", body, err)
			continue
		}
		got := err.Header.Get("Www-Authenticate")
		_, claims, challenged := strings.Cut(got, `, claims="`)
		if !strings.HasPrefix(got, want) || challenged != strings.Contains(want, "insufficient_claims") {
			t.Errorf("%.100s: %s", body, got)
		}
		if challenged {
			decoded, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(claims, `"`))
			if err != nil || !strings.HasPrefix(string(decoded), `{"access_token":{`) {
				t.Errorf("claims %s, %v", decoded, err)
			}
		}
	}
}

// Operators are told of each request to the issuer, and of no token that is kept; the issuer is told their trace.
func TestOutgoing(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(int) (int, string)
		want   string
	}{
		"a token":     {gives(3600), "200 "},
		"signed out":  {says(400, `{"error":"invalid_grant"}`), "400 sign_in"},
		"more to do":  {says(400, `{"error":"interaction_required"}`), "400 interaction_required"},
		"denied":      {says(403, `{"error":"access_denied"}`), "403 denied"},
		"no token":    {says(200, `<html>`), "200 broken"},
		"unavailable": {says(503, `{"error":"temporarily_unavailable"}`), "503 unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			i, told := &issuer{answer: c.answer}, []string{}
			e := newExchanger(t, testRules(), Secrets{}, i)
			e.endpoint.outgoing = func(ctx context.Context, endpoint *url.URL) (context.Context, func(int, string)) {
				h := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
				return telemetry.Arrived(ctx, h), func(status int, failure string) {
					told = append(told, fmt.Sprintf("%s %d %s", endpoint.Host, status, failure))
				}
			}
			for range 2 {
				_, _ = tokenOf(t, e, subject, caller())
			}
			if want := []string{"login.test " + c.want}; !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			if got := i.headers[0].Get("Traceparent"); got != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
				t.Errorf("the issuer was told %q", got)
			}
		})
	}
}
