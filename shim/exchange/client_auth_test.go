package exchange

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(t, "PRIVATE KEY", der, err)
}

func generate[K any](t *testing.T) func(K, error) K {
	return func(key K, err error) K {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}

func TestAssertions(t *testing.T) {
	rsaKey := generate[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := generate[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecDER, err := x509.MarshalECPrivateKey(ecKey)
	ec := pemOf(t, "EC PRIVATE KEY", ecDER, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey.Public(), rsaKey)
	withCertificate := pkcs8(t, rsaKey) + pemOf(t, "CERTIFICATE", certificate, err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: rsaKey, KeyID: "of-jwk", Algorithm: "PS256"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text      string
		public    crypto.PublicKey
		algorithm jose.SignatureAlgorithm
		keyID     string
		thumb     bool
	}{
		"RSA":                    {pkcs8(t, rsaKey), rsaKey.Public(), jose.RS256, "configured", false},
		"RSA, old form":          {pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), rsaKey.Public(), jose.RS256, "configured", false},
		"RSA with a certificate": {withCertificate, rsaKey.Public(), jose.RS256, "configured", true},
		"EC":                     {ec, ecKey.Public(), jose.ES384, "configured", false},
		"Ed25519":                {pkcs8(t, edKey), edKey.Public(), jose.EdDSA, "configured", false},
		"JWK":                    {string(jwk), rsaKey.Public(), jose.PS256, "of-jwk", false},
	} {
		t.Run(name, func(t *testing.T) {
			cr, i := testRules(), &issuer{answer: gives(60)}
			cr.Exchange.Client = rules.Client{ID: "shim", Auth: rules.AuthPrivateKey, KeyID: "configured"}
			e := newExchanger(t, cr, Secrets{Client: secret.New(c.text)}, i)
			for _, s := range []string{"one", "two"} {
				if _, err := tokenOf(t, e, secret.New(s), callerAs(s)); err != nil {
					t.Fatal(err)
				}
			}
			var ids []string
			for _, form := range i.requests {
				parsed, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{c.algorithm})
				if err != nil {
					t.Fatal(err)
				}
				var claims jwt.Claims
				if err := parsed.Claims(c.public, &claims); err != nil {
					t.Fatal(err)
				}
				want := jwt.Expected{Issuer: "shim", Subject: "shim", AnyAudience: jwt.Audience{cr.Exchange.URL}, Time: time.Now()}
				if err := claims.Validate(want); err != nil || claims.Expiry.Time().After(time.Now().Add(2*time.Minute)) {
					t.Errorf("%+v: %v", claims, err)
				}
				_, thumb := parsed.Headers[0].ExtraHeaders["x5t#S256"]
				if parsed.Headers[0].KeyID != c.keyID || thumb != c.thumb {
					t.Errorf("header %+v", parsed.Headers[0])
				}
				if form.Get("client_id") != "shim" || form.Get("client_assertion_type") != assertionType || form.Has("client_secret") {
					t.Errorf("form %v", form)
				}
				ids = append(ids, claims.ID)
			}
			if ids[0] == ids[1] || len(ids[0]) < 16 {
				t.Errorf("ids %q: an issuer takes each once", ids)
			}
		})
	}
}

func TestKeysThatAreNone(t *testing.T) {
	small := generate[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	public := generate[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	publicJWK, _ := json.Marshal(jose.JSONWebKey{Key: public})
	for name, text := range map[string]string{
		"nothing": "", "text": "hunter2", "small": pkcs8(t, small), "public": pemOf(t, "PUBLIC KEY", der, err), "public JWK": string(publicJWK),
		"broken": "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", "shared": `{"kty":"oct","k":"aHVudGVyMg"}`,
		"no JWK": `{"kty":"RSA","hunter2":1}`, "algorithm of another key": strings.Replace(jwkOf(t), `"kty"`, `"alg":"RS256","kty"`, 1),
	} {
		c := testRules()
		c.Exchange.Client.Auth = rules.AuthPrivateKey
		_, err := New(Config{Resource: resource, Rules: c, Secrets: Secrets{Client: secret.New(text)}})
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func jwkOf(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: generate[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
