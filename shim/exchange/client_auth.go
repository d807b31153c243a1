package exchange

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// authenticator adds to a request who asks.
type authenticator func(form url.Values, h http.Header) error

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = time.Minute
)

// newAuthenticator makes the client's authentication (RFC 6749, section 2.3; RFC 7523, section 2.2).
func newAuthenticator(x *rules.Exchange, password secret.Text) (authenticator, error) {
	id := x.Client.ID
	if x.Client.Auth != rules.AuthNone && password.Empty() {
		return nil, errors.New("the client's secret is missing")
	}
	switch x.Client.Auth {
	case rules.AuthNone:
		return func(form url.Values, _ http.Header) error {
			form.Set("client_id", id)
			return nil
		}, nil
	case rules.AuthPost:
		return func(form url.Values, _ http.Header) error {
			form.Set("client_id", id)
			form.Set("client_secret", password.Reveal())
			return nil
		}, nil
	case rules.AuthBasic:
		// RFC 6749, section 2.3.1: both are form-encoded first.
		pair := secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(password.Reveal()))))
		return func(_ url.Values, h http.Header) error {
			h.Set("Authorization", pair.Reveal())
			return nil
		}, nil
	case rules.AuthPrivateKey:
		return assertions(x, password)
	}
	return nil, fmt.Errorf("the client authentication %q is not known", x.Client.Auth)
}

// assertions signs an assertion for each request.
func assertions(x *rules.Exchange, key secret.Text) (authenticator, error) {
	signer, err := newSigner([]byte(key.Reveal()), x.Client.KeyID)
	if err != nil {
		return nil, err
	}
	audience := x.Client.Audience
	if audience == "" {
		audience = x.URL
	}
	return func(form url.Values, _ http.Header) error {
		now := time.Now()
		assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: x.Client.ID, Subject: x.Client.ID, Audience: jwt.Audience{audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
		}).Serialize()
		if err != nil {
			return errors.New("sign client assertion") // the library's words may hold anything
		}
		form.Set("client_id", x.Client.ID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
		return nil
	}, nil
}

// newSigner reads a private key, as JWK or PEM. Errors repeat nothing of it.
func newSigner(text []byte, keyID string) (jose.Signer, error) {
	k := jose.JSONWebKey{}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if err := k.UnmarshalJSON(text); err != nil {
		if k.Key, err = readPEM(text, options); err != nil {
			return nil, err
		}
	}
	if k.IsPublic() || !k.Valid() {
		return nil, errors.New("the client's secret is no private key")
	}
	if k.KeyID == "" {
		k.KeyID = keyID
	}
	algorithm, err := algorithmOf(k)
	if err != nil {
		return nil, err
	}
	k.Certificates = nil // named by their hash
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: k}, options)
	if err != nil {
		return nil, errors.New("the client's private key cannot sign")
	}
	return signer, nil
}

// readPEM reads a private key, and a certificate beside it, whose hash Microsoft finds the key by (RFC 7515, section 4.1.8).
func readPEM(text []byte, options *jose.SignerOptions) (private crypto.PrivateKey, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			sum := sha256.Sum256(block.Bytes)
			options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:]))
		case "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, errors.New("the client's private key is not well formed")
		}
	}
	if private == nil {
		return nil, errors.New("the client's secret is no private key in PEM or JWK form")
	}
	return private, nil
}

// algorithmOf is the algorithm that a JWK names, or the one that issuers take for its kind of key.
func algorithmOf(k jose.JSONWebKey) (jose.SignatureAlgorithm, error) {
	if k.Algorithm != "" {
		return jose.SignatureAlgorithm(k.Algorithm), nil
	}
	switch key := k.Key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < 2048 {
			return "", errors.New("the client's RSA key has less than 2048 bits")
		}
		return jose.RS256, nil
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	}
	return "", errors.New("the client's key is of a kind that is not supported")
}
