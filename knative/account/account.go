// Package account tells which service account of a cluster sends a request, so that a deployer in the cluster answers the
// gateway and nobody else.
//
// It verifies tokens by the keys that the API server publishes for this (Kubernetes 1.35, "Service account issuer
// discovery"), and does not have the API server review each token: that would need a right in the whole cluster, to create
// TokenReviews, where every service account may read the keys already. It holds no secret, so that there is none to compare
// with or to lose, and goes on while the API server is away. The price: a token is good until it expires, also when its pod
// is gone or its account was deleted.
package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"k8s.io/client-go/rest"
)

// The errors of Check, besides that the cluster's keys cannot be had.
var (
	ErrToken   = errors.New("no token of this cluster for us")
	ErrAccount = errors.New("a token of another account")
)

// maxToken bounds a token, in bytes. Those of service accounts have about a thousand.
const maxToken = 8 << 10

// pause is the least time between two looks for new keys: whoever sends what no key verifies causes one, however often.
// Before there is any it is tried more often.
const (
	pause      = 10 * time.Second
	firstPause = time.Second
)

// Config is what a Verifier needs.
type Config struct {
	Cluster  *rest.Config
	Audience string // whom tokens must be for
	Account  string // NAMESPACE/NAME of the only account that is accepted
}

// Verifier accepts the tokens of one account. It may be used concurrently.
type Verifier struct {
	subject, audience string
	server            string // the API server's URL
	http              http.Client

	known atomic.Pointer[oidc.IDTokenVerifier] // by the keys that the cluster had; nil: it did not answer yet
	turn  chan struct{}                        // held while it is asked
	asked time.Time                            // when it was asked last; whoever has the turn reads and writes it
}

// New returns a verifier. It asks the cluster nothing yet.
func New(c Config) (*Verifier, error) {
	namespace, name, ok := strings.Cut(c.Account, "/")
	if c.Cluster == nil || c.Audience == "" || !ok || namespace == "" || name == "" {
		return nil, errors.New("account: Cluster, Audience and Account are needed, Account as NAMESPACE/NAME")
	}
	client, err := rest.HTTPClientFor(c.Cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	server, _, err := rest.DefaultServerUrlFor(c.Cluster)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	// Kubernetes 1.35, pkg/serviceaccount: the name that every token of an account has.
	subject := "system:serviceaccount:" + namespace + ":" + name
	return &Verifier{subject: subject, audience: c.Audience, server: strings.TrimSuffix(server.String(), "/"), turn: make(chan struct{}, 1),
		http: http.Client{Transport: client.Transport, Timeout: answerTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Check accepts a token. Errors are ErrToken, ErrAccount, ctx's, or that the cluster's keys are not known and cannot be had.
func (v *Verifier) Check(ctx context.Context, token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("%w: it has %d bytes", ErrToken, len(token))
	}
	claims, err := v.verify(ctx, token)
	if err != nil && !hopeless(err) {
		// The cluster may have a new key, or we none of it.
		if failed := v.look(ctx); failed != nil {
			return failed
		}
		claims, err = v.verify(ctx, token)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %.200s", ErrToken, err)
	case claims.Subject != v.subject:
		return fmt.Errorf("%w: %.300q", ErrAccount, claims.Subject)
	}
	return nil
}

var errNoKeys = errors.New("the cluster's keys are not known")

func (v *Verifier) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	now := v.known.Load()
	if now == nil {
		return nil, errNoKeys
	}
	return now.Verify(ctx, token)
}

// hopeless tells whether no new key would mend it.
func hopeless(err error) bool {
	var expired *oidc.TokenExpiredError
	return errors.As(err, &expired)
}

// look asks the cluster for its keys, unless it was asked just now. An error means that there are none to go by.
func (v *Verifier) look(ctx context.Context) error {
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-v.turn }()
	wait, failed := pause, error(nil)
	if v.known.Load() == nil {
		wait, failed = firstPause, errNoKeys
	}
	if time.Since(v.asked) < wait {
		return failed
	}
	verifier, err := v.fetch(context.WithoutCancel(ctx)) // who asks first may leave; the others still want to know
	v.asked = time.Now()
	if err == nil {
		v.known.Store(verifier)
	} else if failed != nil {
		return err
	}
	return nil
}
