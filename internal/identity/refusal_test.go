package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestVerifyRefusesClaims shows tokens that the issuer signed, with one thing wrong.
func TestVerifyRefusesClaims(t *testing.T) {
	now := time.Now()
	key := newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	v := newTestVerifier(t, net, bound(home))
	after := func(d time.Duration) int64 { return now.Add(d).Unix() }
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, tc := range []struct {
		name           string
		header, claims object
		want           error
	}{
		{"expired", nil, object{"exp": after(-61 * time.Second)}, errExpired},
		{"no expiry", nil, object{"exp": nil}, errNoExpiry},
		{"expiry is text", nil, object{"exp": "tomorrow"}, errMalformed},
		{"expiry beyond time", nil, object{"exp": 1e300}, errClaims},
		{"not yet", nil, object{"nbf": after(61 * time.Second)}, errNotYet},
		{"issued in the future", nil, object{"iat": after(61 * time.Second)}, errFuture},
		{"no subject", nil, object{"sub": nil}, errNoSubject},
		{"empty subject", nil, object{"sub": ""}, errNoSubject},
		{"subject is a number", nil, object{"sub": 7}, errMalformed},
		{"long subject", nil, object{"sub": strings.Repeat("a", 256)}, errTextTooLong},
		{"control character in subject", nil, object{"sub": "a\nb"}, errClaims},
		{"replacement character in subject", nil, object{"sub": "a\ufffd"}, errClaims},
		{"no audience", nil, object{"aud": nil}, errAudience},
		{"wrong audience", nil, object{"aud": "https://elsewhere.example"}, errAudience},
		{"another server's token", nil, object{"aud": "https://gateway.example/mcp-connect/other"}, errAudience},
		{"audience with a slash more", nil, object{"aud": resource + "/"}, errAudience},
		{"audience in capitals", nil, object{"aud": strings.ToUpper(resource)}, errAudience},
		{"the gateway as audience", nil, object{"aud": "https://gateway.example"}, errAudience},
		{"the placeholder as audience", nil, object{"aud": "{resource}"}, errAudience},
		{"unknown issuer", nil, object{"iss": "https://evil.example"}, errUnknownIssuer},
		{"issuer with a slash more", nil, object{"iss": home + "/"}, errUnknownIssuer},
		{"no issuer", nil, object{"iss": nil}, errUnknownIssuer},
		{"too many groups", nil, object{"groups": many}, errManyGroups},
		{"groups are objects", nil, object{"groups": []object{{"name": "x"}}}, errClaims},
		{"an empty group", nil, object{"groups": []string{""}}, errClaims},
		{"a long group", nil, object{"groups": []string{strings.Repeat("g", 257)}}, errTextTooLong},
		{"groups left out", nil, object{"groups": nil, "_claim_names": object{"groups": "src1"},
			"_claim_sources": object{"src1": object{"endpoint": "https://graph.example"}}}, errLeftOut},
		{"groups left out, implicit flow", nil, object{"groups": nil, "hasgroups": true}, errLeftOut},
		{"bound to a key", nil, object{"cnf": object{"jkt": "x"}}, errProof},
		{"ID token", object{"typ": "JWT"}, object{"nonce": "n"}, errNotAccess},
		{"no type", object{"typ": nil}, nil, errNotAccess},
		{"logout token", object{"typ": "logout+jwt"}, nil, errNotAccess},
		{"ID-JAG", object{"typ": "oauth-id-jag+jwt"}, nil, errNotAccess},
		{"alg none", object{"alg": "none"}, nil, errAlgorithm},
		{"alg None", object{"alg": "None"}, nil, errAlgorithm},
		{"no alg", object{"alg": nil}, nil, errAlgorithm},
		{"HS256", object{"alg": "HS256"}, nil, errAlgorithm},
		{"ES256K", object{"alg": "ES256K"}, nil, errAlgorithm},
		{"another algorithm than the key's", object{"alg": "RS256"}, nil, errUnknownKey},
		{"crit", object{"crit": []string{"exp"}, "exp": 1}, nil, errExtension},
		{"crit of a known extension", object{"crit": []string{"b64"}, "b64": true}, nil, errExtension},
		{"b64", object{"b64": false}, nil, errExtension},
		{"kid of nobody", object{"kid": "k2"}, nil, errUnknownKey},
		{"kid as a path", object{"kid": "../../../dev/null"}, nil, errUnknownKey},
		{"kid as a query", object{"kid": "k1' OR '1'='1"}, nil, errUnknownKey},
		{"kid is a list", object{"kid": []string{"k1"}}, nil, errMalformed},
		{"broken embedded key", object{"jwk": object{"kty": "EC"}}, nil, errMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := key.mint(t, with(key.header(), tc.header), with(body(now), tc.claims))
			refused(t, v, token, tc.want)
		})
	}
}

// TestVerifyRefusesForgeries shows what the issuer did not sign, or not so.
func TestVerifyRefusesForgeries(t *testing.T) {
	now := time.Now()
	key, stranger := newES256(t, "k1"), newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	v := newTestVerifier(t, net, bound(home))
	good := key.mint(t, key.header(), body(now))
	part := strings.Split(good, ".")
	claims := string(encode(t, body(now)))
	symmetric := func(secret []byte) string {
		input := segment(encode(t, with(key.header(), object{"alg": "HS256"}))) + "." + part[1]
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + segment(mac.Sum(nil))
	}
	der, err := x509.MarshalPKIXPublicKey(key.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	published := stranger.public()
	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"empty", "", errMalformed},
		{"a word", "hunter2", errMalformed},
		{"two parts", part[0] + "." + part[1], errMalformed},
		{"four parts", good + ".e30", errMalformed},
		{"five parts (JWE)", good + ".e30.e30", errMalformed},
		{"no signature", part[0] + "." + part[1] + ".", errMalformed},
		{"line break", part[0] + ".\n" + part[1] + "." + part[2], errMalformed},
		{"space before", " " + good, errMalformed},
		{"padding", good + "==", errMalformed},
		{"another spelling of the same signature", respell(good), errMalformed},
		{"JSON serialization", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, part[0], part[1], part[2]), errMalformed},
		{"header is a list", segment([]byte("[]")) + "." + part[1] + "." + part[2], errMalformed},
		{"claims are text", key.mintText(t, encode(t, key.header()), []byte(`"x"`)), errMalformed},
		{"too long", good + strings.Repeat("A", 16<<10), errTooLong},
		{"two algorithms", key.mintText(t, []byte(`{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}`), []byte(claims)), errMalformed},
		{"two subjects", key.mintText(t, encode(t, key.header()), []byte(`{"sub":"root",`+claims[1:])), errMalformed},
		{"subject not UTF-8", key.mintText(t, encode(t, key.header()), []byte(strings.Replace(claims, "alice", "al\xffce", 1))), errMalformed},
		{"subject a lone surrogate", key.mintText(t, encode(t, key.header()), []byte(strings.Replace(claims, "alice", `\ud800`, 1))), errClaims},
		{"case twin of the audience", key.mintText(t, encode(t, key.header()), []byte(strings.Replace(claims, `"aud"`, `"AUD"`, 1))), errAudience},
		{"other key, known kid", stranger.mint(t, key.header(), body(now)), errBadSignature},
		{"claims replaced", part[0] + "." + segment(encode(t, with(body(now), object{"sub": "root"}))) + "." + part[2], errBadSignature},
		{"signature of zeros", part[0] + "." + part[1] + "." + segment(make([]byte, 64)), errBadSignature},
		{"HMAC with the public key in DER", symmetric(der), errAlgorithm},
		{"HMAC with the public key in PEM", symmetric(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), errAlgorithm},
		{"own key in jwk", stranger.mint(t, with(key.header(), object{"jwk": published}), body(now)), errBadSignature},
		{"own key behind jku", stranger.mint(t, with(key.header(), object{"jku": "https://evil.example/keys", "kid": "e"}), body(now)), errUnknownKey},
		{"own key behind x5u", stranger.mint(t, with(key.header(), object{"x5u": "https://evil.example/cert", "kid": "e"}), body(now)), errUnknownKey},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, v, tc.token, tc.want) })
	}
	for _, url := range net.requests() {
		if !strings.HasPrefix(url, home+"/") {
			t.Errorf("a token made us ask %s", url)
		}
	}
	if _, err := v.Verify(t.Context(), good, []string{resource}); err != nil {
		t.Errorf("the good token is refused too: %v", err)
	}
}

// respell changes bits of the last character that do not reach the 64 bytes of an ES256 signature.
func respell(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])+1])
}

// refused wants the error, and that its text fits into a quoted string of WWW-Authenticate.
func refused(t *testing.T, v *Verifier, token string, want error) {
	t.Helper()
	id, err := v.Verify(t.Context(), token, []string{resource})
	if !errors.Is(err, want) {
		t.Fatalf("got %+v, %v; want %v", id, err, want)
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		t.Errorf("%q does not fit into a header", err)
	}
}

func TestVerifyTypeJWT(t *testing.T) {
	now := time.Now()
	key := newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	issuer := bound(home)
	issuer.TokenType = "JWT"
	v := newTestVerifier(t, net, issuer)
	for _, tc := range []struct {
		name   string
		typ    any
		claims object
		want   error
	}{
		{"JWT", "JWT", nil, nil},
		{"no type", nil, nil, nil},
		{"at+jwt", "at+jwt", nil, nil},
		{"Keycloak", "JWT", object{"client_id": nil, "azp": "x", "typ": "Bearer"}, nil},
		{"Cognito", nil, object{"token_use": "access"}, nil},
		{"Entra", "JWT", object{"client_id": nil, "scp": "access"}, nil},
		{"Okta", "JWT", object{"client_id": nil, "cid": "x"}, nil},
		{"ID token with nonce", "JWT", object{"nonce": "n"}, errIDToken},
		{"ID token with at_hash", "JWT", object{"at_hash": "h"}, errIDToken},
		{"ID token with c_hash", nil, object{"c_hash": "h"}, errIDToken},
		{"ID token of Keycloak", "JWT", object{"typ": "ID"}, errOtherKind},
		{"ID token of Cognito", nil, object{"token_use": "id"}, errOtherKind},
		{"ID token that shows nothing", "JWT", object{"client_id": nil, "azp": "x"}, errNoEvidence},
		{"refresh token", "JWT", object{"typ": "Refresh"}, errOtherKind},
		{"offline token", "JWT", object{"typ": "Offline"}, errOtherKind},
		{"refresh token by token_type", "JWT", object{"token_type": "refresh"}, errOtherKind},
		{"logout token", "JWT", object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}}, errIDToken},
		{"logout token by type", "logout+jwt", nil, errOtherType},
		{"security event", "secevent+jwt", nil, errOtherType},
		{"ID-JAG", "oauth-id-jag+jwt", nil, errOtherType},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := key.mint(t, with(key.header(), object{"typ": tc.typ}), with(body(now), tc.claims))
			if _, err := v.Verify(t.Context(), token, []string{resource}); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// Who takes identity assertions takes nothing else.
func TestVerifyTypeIDJAG(t *testing.T) {
	key := newES256(t, "k1")
	net := newFakeIssuers(map[string][]jose.JSONWebKey{})
	net.publish(home, key)
	issuer := bound(home)
	issuer.TokenType = TypeIDJAG
	v := newTestVerifier(t, net, issuer)
	for typ, want := range map[any]error{"oauth-id-jag+jwt": nil, "application/OAuth-ID-JAG+jwt": nil, "at+jwt": errNotIDJAG, "JWT": errNotIDJAG, nil: errNotIDJAG, "jwt": errNotIDJAG} {
		token := key.mint(t, with(key.header(), object{"typ": typ}), body(time.Now()))
		if _, err := v.Verify(t.Context(), token, []string{resource}); !errors.Is(err, want) {
			t.Errorf("%v: got %v, want %v", typ, err, want)
		}
	}
}
