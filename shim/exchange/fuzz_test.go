package exchange

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/rules"
)

// Whatever an issuer answers, there is a token that can be nothing but a token in a header and that ends, or an error. The
// answer is made of members, or is rest alone.
func FuzzTokenResponse(f *testing.F) {
	f.Add(200, "x", "Bearer", "9", `,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`, true)
	f.Add(200, "x", "N_A", `"3600"`, "", false)
	f.Add(200, "a.b-c_d~e+f/g==", "bearer", "-5", "", true)
	for _, token := range []string{"a,b", "a b", `a"b`, "a\r\nb", "é", "="} {
		f.Add(200, token, "Bearer", "60", "", true)
	}
	for _, expires := range []string{"0", "-1e999", "1e999", `"NaN"`, `"inf"`, "null", "true"} {
		f.Add(200, "x", "Bearer", expires, "", true)
	}
	for _, body := range []string{`{"error":"invalid_grant","claims":"{}"}`, `<html>`, `{`, `[]`, ``, `{"access_token":"x","token_type":"Bearer"}{}`} {
		f.Add(200, "", "", "", body, true)
		f.Add(400, "", "", "", body, false)
	}
	f.Fuzz(func(t *testing.T, status int, token, kind, expires, rest string, access bool) {
		body := rest
		if kind != "" {
			members, err := json.Marshal(map[string]string{"access_token": token, "token_type": kind})
			if err != nil {
				t.Skip()
			}
			body = strings.TrimSuffix(string(members), "}") + `,"expires_in":` + expires + rest + "}"
		}
		x := &rules.Exchange{RequestedTokenType: "jwt"}
		if access {
			x.RequestedTokenType = "access_token"
		}
		got, failed := parseResponse(status, []byte(body), x)
		if (got == nil) == (failed == nil) {
			t.Fatalf("%v and %v", got, failed)
		}
		if failed != nil {
			if len(failed.Error()) > 4<<10 || failed.claims != nil && (!json.Valid(failed.claims) || len(failed.claims) > maxClaims) {
				t.Errorf("error of %d bytes, claims %q", len(failed.Error()), failed.claims)
			}
			return
		}
		text := got.text.Reveal()
		if status != 200 || text == "" || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '"' }) {
			t.Errorf("status %d gives the token %q", status, text)
		}
		if got.life <= 0 || got.life > maxLife {
			t.Errorf("it lives for %v", got.life)
		}
	})
}

// parameter is an auth-param with a quoted value (RFC 9110, section 11.2).
var parameter = regexp.MustCompile(`^([a-z_]+)="([ !#-\[\]-~]*)"(?:, )?`)

// Whatever an issuer says of a refusal, what the caller gets is one challenge with known parameters.
func FuzzChallenge(f *testing.F) {
	f.Add("invalid_grant", "AADSTS50076: x", `{"access_token":{}}`)
	f.Add("interaction_required", "", `" , evil="1`)
	f.Add("access_denied", "\r\nX: y", "{\"a\":\"\u2028\"}")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, code, description, claims string) {
		body, err := json.Marshal(map[string]string{"error": code, "error_description": description, "claims": claims})
		if err != nil {
			t.Skip()
		}
		_, failed := parseResponse(400, body, testRules().Exchange)
		if failed == nil {
			t.Fatal("an error is a token")
		}
		e := &Exchanger{resource: resource}
		refusal := mcp.AsError(e.refuse(failed))
		if refusal.Status != 401 {
			if len(refusal.Header) > 0 {
				t.Errorf("%d with %v", refusal.Status, refusal.Header)
			}
			return
		}
		rest, ok := strings.CutPrefix(refusal.Header.Get("Www-Authenticate"), "Bearer ")
		if !ok || len(rest) > 2*maxClaims+1000 {
			t.Fatalf("challenge of %d bytes", len(rest))
		}
		given := map[string]string{}
		for rest != "" {
			m := parameter.FindStringSubmatch(rest)
			if m == nil || given[m[1]] != "" {
				t.Fatalf("no parameter, or one again: %q", rest)
			}
			given[m[1]], rest = m[2], rest[len(m[0]):]
		}
		decoded, err := base64.StdEncoding.DecodeString(given["claims"])
		if err != nil || len(decoded) > 0 && !json.Valid(decoded) {
			t.Errorf("claims %q: %v", decoded, err)
		}
		delete(given, "claims")
		if len(given) != 3 || given["error"] == "" || given["resource_metadata"] == "" || given["error_description"] == "" {
			t.Errorf("parameters %v", given)
		}
	})
}

// Whatever page an issuer names, callers are led to its own origin alone, by an address that is one line of plain text.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{"https://login.test/connect/notes", "https://login.test@evil.example/", "https://user:password@login.test/connect", "https://login.test:443", "HTTPS://LOGIN.TEST/a?b#c", "//login.test/", "https://login.test\n.evil", "https://login.test:0443/"} {
		f.Add(seed)
	}
	e, err := New(Config{Resource: resource, Rules: testRules()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, page string) {
		if !e.endpoint.own(page) {
			return
		}
		u, err := url.Parse(page)
		if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "login.test") || u.Port() != "" && strings.TrimLeft(u.Port(), "0") != "443" || u.User != nil {
			t.Errorf("led to %q", page)
		}
		if len(page) > maxPage || strings.ContainsFunc(page, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("led by %q", page)
		}
	})
}
