package account

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// Where an API server says how its tokens are verified (Kubernetes 1.35, pkg/serviceaccount/openidmetadata.go). The keys are
// asked of the API server, whoever else the document names: what it says there may be an address that only others reach.
const (
	pathIssuer = "/.well-known/openid-configuration"
	pathKeys   = "/openid/v1/jwks"
)

// How long the API server may take to answer, how much is read of it in bytes, and with how many keys a token is tried.
const (
	answerTimeout = 10 * time.Second
	maxAnswer     = 256 << 10
	maxKeys       = 32
)

// minRSA is the least length of an RSA key, in bits (RFC 7518, section 3.3).
const minRSA = 2048

// algorithms are those with which an API server signs (Kubernetes 1.35, pkg/serviceaccount/jwt.go).
var algorithms = []string{oidc.RS256, oidc.ES256, oidc.ES384, oidc.ES512}

// fetch asks the cluster how its tokens are verified.
func (v *Verifier) fetch(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	document, err := v.get(ctx, pathIssuer)
	if err != nil {
		return nil, err
	}
	var about struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(document, &about); err != nil || about.Issuer == "" {
		return nil, errors.New("the API server does not say who issues its tokens")
	}
	document, err = v.get(ctx, pathKeys)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(document)
	if err != nil {
		return nil, err
	}
	return oidc.NewVerifier(about.Issuer, &oidc.StaticKeySet{PublicKeys: keys}, &oidc.Config{ClientID: v.audience, SupportedSigningAlgs: algorithms}), nil
}

// parseKeys keeps the keys that an API server signs with, and no other kind.
func parseKeys(document []byte) ([]crypto.PublicKey, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("read the cluster's keys: %w", err)
	}
	var keys []crypto.PublicKey
	for _, k := range set.Keys {
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() >= minRSA {
				keys = append(keys, key)
			}
		case *ecdsa.PublicKey:
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("the cluster publishes %d keys for its tokens", len(keys))
	}
	return keys, nil
}

func (v *Verifier) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.server+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := v.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask for the cluster's keys: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask for the cluster's keys: %w", err)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("ask for the cluster's keys: %s: the account needs the ClusterRole system:service-account-issuer-discovery, which every service account has where nobody took it away", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask for the cluster's keys: %s", resp.Status)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("ask for the cluster's keys: more than %d bytes", maxAnswer)
	}
	return text, nil
}
