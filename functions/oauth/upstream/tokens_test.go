package upstream

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/secret"
)

func TestSignInAtServer(t *testing.T) {
	r := newRig(t)
	start, back, err := r.answer()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"resource": r.Resource, "redirect_uri": redirectURI, "code_challenge_method": "S256", "state": "state", "scope": "notes offline_access",
		"prompt": "consent", "response_type": "code", "client_id": start.Client} {
		if got := r.led[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	got, err := r.us.Redeem(t.Context(), start, back.Get("code"), verifier)
	if person, good := r.Knows(got.Access.Reveal()); err != nil || !good || person != r.Person || got.Life != time.Hour || got.Refresh.Empty() {
		t.Errorf("%+v of %q, %v", got, person, err)
	}
	if text := fmt.Sprintf("%v %+v", got, got); strings.Contains(text, "at-") || strings.Contains(text, "rt-") {
		t.Errorf("tokens are printed: %s", text)
	}
	if _, err := r.us.Redeem(t.Context(), start, back.Get("code"), verifier); !refused(err) {
		t.Errorf("a code used twice: %v", err)
	}
	if r.Counted("/register") != 1 {
		t.Errorf("registered %d times", r.Counted("/register"))
	}
}

func TestRedeemWithWrongVerifier(t *testing.T) {
	r := newRig(t)
	start, back, err := r.answer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.us.Redeem(t.Context(), start, back.Get("code"), verifier+"x"); !refused(err) {
		t.Error(err)
	}
}

func TestRefresh(t *testing.T) {
	r := newRig(t)
	start, first := r.connect()
	second, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, first.Refresh)
	if err != nil || second.Refresh.Reveal() == first.Refresh.Reveal() {
		t.Fatalf("%+v, %v", second, err)
	}
	if _, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, first.Refresh); !refused(err) {
		t.Errorf("a refresh token that was replaced: %v", err)
	}
	r.Fixed = true
	third, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, second.Refresh)
	if err != nil || third.Refresh.Reveal() != second.Refresh.Reveal() {
		t.Errorf("one that stays: %+v, %v", third, err)
	}
	if _, err := r.us.Refresh(t.Context(), start.Issuer, "another", second.Refresh); !refused(err) {
		t.Errorf("another client's: %v", err)
	}
	if err := r.us.Revoke(t.Context(), start.Issuer, start.Client, third); err != nil {
		t.Error(err)
	}
	if _, good := r.Knows(third.Access.Reveal()); good {
		t.Error("what was revoked is good")
	}
}

// Whose answer it is says iss, where it is promised or there (RFC 9207).
func TestSentByIssuer(t *testing.T) {
	r := newRig(t)
	for answer, want := range map[string]bool{"iss=" + url.QueryEscape(r.URL): true, "iss=" + url.QueryEscape(r.URL+"/"): false, "iss=": false, "": false} {
		q, err := url.ParseQuery(answer)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.us.Sent(t.Context(), r.URL, q); got != want || err != nil {
			t.Errorf("%q: %v, %v", answer, got, err)
		}
	}
	r = newRig(t)
	r.Edit = func(_ string, m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
	if got, err := r.us.Sent(t.Context(), r.URL, url.Values{}); !got || err != nil {
		t.Errorf("where it is not promised: %v, %v", got, err)
	}
}

// What is wrong with the token endpoint says nothing of the person's tokens, unless it says so.
func TestTokenEndpointFails(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		refused    bool
	}{
		{"refused", `{"error":"invalid_grant"}`, 400, true},
		{"refused with another status", `{"error":"access_denied"}`, 403, true},
		{"down", `{"error":"invalid_grant"}`, 503, false},
		{"too many", `{"error":"invalid_grant"}`, 429, false},
		{"unwell", `{"error":"temporarily_unavailable"}`, 400, false},
		{"says nothing", ``, 400, false},
		{"a page", `<html>`, 200, false},
		{"no token", `{"token_type":"Bearer"}`, 200, false},
		{"a token with a line", `{"access_token":"a\r\nb","token_type":"Bearer"}`, 200, false},
		{"a huge token", `{"access_token":"` + strings.Repeat("a", maxToken+1) + `","token_type":"Bearer"}`, 200, false},
		{"a huge answer", `{"access_token":"a","token_type":"Bearer","x":"` + strings.Repeat("a", maxBody) + `"}`, 200, false},
		{"bound tokens", `{"access_token":"a","token_type":"DPoP"}`, 200, false},
		{"over already", `{"access_token":"a","token_type":"Bearer","expires_in":0}`, 200, false},
		{"a name twice", `{"access_token":"a","token_type":"Bearer","access_token":"b"}`, 200, false},
		{"redirect", ``, 307, false},
	} {
		r := newRig(t)
		start, tokens := r.connect()
		stranger := false
		r.Before = func(w http.ResponseWriter, q *http.Request) bool {
			stranger = stranger || q.URL.Path == "/stranger"
			if q.URL.Path != "/token" {
				return false
			}
			w.Header().Set("Location", r.URL+"/stranger")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
			return true
		}
		if got, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, tokens.Refresh); refused(err) != tt.refused || unavailable(err) == tt.refused || stranger {
			t.Errorf("%s: %+v, %v, stranger asked: %v", tt.name, got, err, stranger)
		}
		r.Before = nil
		if _, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, tokens.Refresh); err != nil {
			t.Errorf("%s: afterwards: %v", tt.name, err)
		}
	}
}

// A client that was registered by hand is who we come as, and nobody registers.
func TestStaticClient(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Client = &Client{ID: "by:hand", Secret: secret.New("s% +~"), Auth: client.AuthBasic}
	})
	r.AddClient("by:hand", "s% +~")
	if start, tokens := r.connect(); start.Client != "by:hand" || tokens.Access.Empty() || r.Counted("/register") != 0 {
		t.Errorf("%+v, registered %d times", start, r.Counted("/register"))
	}
	start, tokens := r.connect()
	r.AddClient("by:hand", "changed")
	if _, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, tokens.Refresh); !unavailable(err) {
		t.Errorf("the operator's mistake ends an account: %v", err)
	}
}

// What a client sends of its secret depends on how it proves itself.
func TestClientProof(t *testing.T) {
	for auth, want := range map[string]string{client.AuthNone: "id=me", client.AuthPost: "id=me secret=s", client.AuthBasic: "basic=me:s"} {
		c := &Client{ID: "me", Auth: auth}
		if auth != client.AuthNone {
			c.Secret = secret.New("s")
		}
		r := newRig(t, func(config *Config) { config.Client = c })
		var got string
		r.Before = func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path != "/token" {
				return false
			}
			var sent []string
			for _, name := range []string{"id", "secret"} {
				if v := q.FormValue("client_" + name); v != "" {
					sent = append(sent, name+"="+v)
				}
			}
			if id, secret, ok := q.BasicAuth(); ok {
				sent = append(sent, "basic="+id+":"+secret)
			}
			got = strings.Join(sent, " ")
			_, _ = io.WriteString(w, `{"access_token":"a","token_type":"Bearer"}`)
			return true
		}
		if _, err := r.us.Refresh(t.Context(), r.URL, "me", secret.New("r")); err != nil || got != want {
			t.Errorf("%s: %q, %v", auth, got, err)
		}
	}
}

// Where our document is taken it is our id, and nobody registers (client id metadata documents).
func TestDocumentedClient(t *testing.T) {
	const at = "https://oauth.example.com/connect/notes/client.json"
	r := newRig(t, func(c *Config) { c.Document = at })
	r.Edit = func(_ string, m map[string]any) { m["client_id_metadata_document_supported"] = true }
	r.AddClient(at, "")
	if start, _, err := r.answer(); err != nil || start.Client != at || r.Counted("/register") != 0 {
		t.Errorf("%+v, %v", start, err)
	}
	text, err := json.Marshal(r.us.Describe())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := client.ParseMetadata(text); err != nil || m.ClientID != at || len(m.RedirectURIs) != 1 || m.RedirectURIs[0] != redirectURI || m.Auth != client.AuthNone {
		t.Errorf("%s: %v", text, err)
	}
}

// A registration that is not known there any more ends with what it was given, and the next sign-in begins with a new one.
func TestRegistrationIsForgotten(t *testing.T) {
	r := newRig(t)
	start, tokens := r.connect()
	r.ForgetClients()
	if _, err := r.us.Refresh(t.Context(), start.Issuer, start.Client, tokens.Refresh); !refused(err) {
		t.Errorf("%v", err)
	}
	if again, _ := r.connect(); again.Client == start.Client || r.Counted("/register") != 2 {
		t.Errorf("%+v, registered %d times", again, r.Counted("/register"))
	}
}

func TestRegistrationRefuses(t *testing.T) {
	for name, answer := range map[string]string{
		"no id": `{}`, "a method": `{"client_id":"a","client_secret":"b","token_endpoint_auth_method":"private_key_jwt"}`,
		"no secret": `{"client_id":"a"}`, "an id with a line": `{"client_id":"a\nb","client_secret":"c"}`, "a long id": `{"client_id":"` + strings.Repeat("a", maxAddress+1) + `","client_secret":"b"}`,
		"a page": `<html>`, "a refusal": "",
	} {
		r := newRig(t)
		r.Before = func(w http.ResponseWriter, q *http.Request) bool {
			if q.URL.Path != "/register" {
				return false
			}
			w.WriteHeader(map[bool]int{true: 201, false: 403}[answer != ""])
			_, _ = io.WriteString(w, answer)
			return true
		}
		if start, _, err := r.answer(); !unavailable(err) {
			t.Errorf("%s: %+v, %v", name, start, err)
		}
	}
	r := newRig(t)
	r.Edit = func(_ string, m map[string]any) { delete(m, "registration_endpoint") }
	if _, _, err := r.answer(); !unavailable(err) || !strings.Contains(err.Error(), "account.client") {
		t.Errorf("none offered: %v", err)
	}
}
