package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// The life of a signing key. It is published long before it signs, so that whoever keeps our keys for a while has it by
// then, and long after, so that whatever it signed can be verified.
const (
	signsFor     = 30 * 24 * time.Hour
	publishAhead = 2 * 24 * time.Hour
	keepAfter    = 24 * time.Hour
	readEvery    = time.Minute // another process may have made a key
)

// keyPurpose is what private keys are sealed for.
const keyPurpose = "signing key"

// Keys are the keys that sign access tokens. All processes with the same store sign by the same, and at most one new key is
// made for each period, whoever makes it.
type Keys struct {
	store  store.Store
	sealer *seal.Sealer
	now    func() time.Time

	mu   sync.Mutex
	keys []signingKey // by the time from which they sign
	read time.Time
}

// signingKey is one key. It signs from its time on until the next one does.
type signingKey struct {
	From    time.Time
	Sealed  string // PKCS #8
	private *ecdsa.PrivateKey
	id      string
}

// NewKeys makes keys; none is made before one is needed.
func NewKeys(s store.Store, sealer *seal.Sealer, now func() time.Time) *Keys {
	return &Keys{store: s, sealer: sealer, now: now}
}

// current returns the keys, and makes the next one where it is time.
func (k *Keys) current(ctx context.Context) ([]signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if len(k.keys) > 0 && now.Sub(k.read) < readEvery && !k.due(now) {
		return k.keys, nil
	}
	// Twice: the second time reads what was made, by us or by another process.
	for range 3 {
		if err := k.load(ctx); err != nil {
			return nil, err
		}
		if !k.due(now) {
			k.read = now
			return k.keys, nil
		}
		if err := k.make(ctx, now); err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
	}
	return nil, errors.New("read signing keys: no key can be made")
}

// due tells whether the next key must be made.
func (k *Keys) due(now time.Time) bool {
	return len(k.keys) == 0 || now.After(k.keys[len(k.keys)-1].From.Add(signsFor-publishAhead))
}

// make makes the next key, under a name that two processes would both choose. The first one signs at once.
func (k *Keys) make(ctx context.Context, now time.Time) error {
	next := signingKey{From: now}
	if len(k.keys) > 0 {
		next.From = now.Add(publishAhead)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	next.Sealed = k.sealer.Seal(keyPurpose, der)
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	name := "first"
	if len(k.keys) > 0 {
		name = "after " + k.keys[len(k.keys)-1].id
	}
	_, err = k.store.Put(ctx, store.Item{Key: store.Key{Part: "keys", Sort: name}, Value: value,
		Expires: next.From.Add(signsFor + publishAhead + keepAfter + 30*24*time.Hour)})
	return err
}

// load reads the keys, and leaves out those that are replaced for long.
func (k *Keys) load(ctx context.Context) error {
	items, err := k.store.List(ctx, "keys")
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	keys := make([]signingKey, len(items))
	for n, i := range items {
		if err := k.open(&keys[n], i.Value); err != nil {
			return fmt.Errorf("read signing keys: %w", err)
		}
	}
	k.keys = published(keys, k.now())
	return nil
}

func (k *Keys) open(key *signingKey, value []byte) error {
	if err := json.Unmarshal(value, key); err != nil {
		return err
	}
	der, err := k.sealer.Open(keyPurpose, key.Sealed)
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("it is another kind of key")
	}
	key.private = private
	sum, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	key.id = base64.RawURLEncoding.EncodeToString(sum)
	return err
}

// Set is the JSON Web Key Set (RFC 7517) to publish.
func (k *Keys) Set(ctx context.Context) (jose.JSONWebKeySet, error) {
	keys, err := k.current(ctx)
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: key.id, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return set, err
}

// signer is the key that signs now: the youngest whose time has come.
func (k *Keys) signer(ctx context.Context) (signingKey, error) {
	keys, err := k.current(ctx)
	if err != nil {
		return signingKey{}, err
	}
	now := k.now()
	best := keys[0]
	for _, key := range keys {
		if !key.From.After(now) {
			best = key
		}
	}
	return best, nil
}
