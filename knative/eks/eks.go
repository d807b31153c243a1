// Package eks makes the tokens by which a cluster of Amazon EKS knows an AWS identity. It stores none, and runs no program.
//
// Such a token is a request to AWS STS, "who am I?", that is signed and not sent: the cluster sends it. The format is that of
// aws-iam-authenticator (kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go). Where the identity comes from is its
// users' business: all that may be one weighs more than a gateway that starts cold may. The package links nothing of
// Kubernetes either.
package eks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// What a token is made of.
const (
	prefix        = "k8s-aws-v1."
	headerCluster = "x-k8s-aws-id" // signed, so that no other cluster takes the token
	// What the parameter must be for old authenticators (0.3.0 and before); STS itself goes by the date.
	headerExpires, expires = "X-Amz-Expires", "60"
)

// STS takes a signed request for 15 minutes after its date. A token is used for one less, as the cluster's clock may be
// ahead, and replaced after five sevenths of that: should the identity be away for a while then, the old one still holds.
const (
	lifetime = 14 * time.Minute
	again    = 10 * time.Second // after a failure
	patience = 5 * time.Second  // of asking for the identity
)

// Config is what Tokens need.
type Config struct {
	Cluster  string // its name
	Region   string
	Identity aws.CredentialsProvider
}

// Tokens makes tokens for one cluster. It may be used concurrently.
type Tokens struct {
	cluster  string
	identity aws.CredentialsProvider
	sts      *sts.PresignClient

	mu           sync.Mutex
	token        string
	renew, until time.Time // when it is to be replaced, and as of when it does not hold
}

// New returns tokens. No identity is asked for yet.
func New(c Config) (*Tokens, error) {
	if c.Cluster == "" || c.Region == "" || c.Identity == nil {
		return nil, errors.New("eks: Cluster, Region and Identity are needed")
	}
	client := sts.New(sts.Options{Region: c.Region, Credentials: c.Identity})
	return &Tokens{cluster: c.Cluster, identity: c.Identity, sts: sts.NewPresignClient(client)}, nil
}

// Token returns a token that holds for a while. Errors say that the identity cannot be had; they hold no secret.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.renew) {
		return t.token, nil
	}
	token, until, err := t.sign(context.WithoutCancel(ctx), now) // who asks first may leave; the others still want it
	switch {
	case err == nil:
		t.token, t.until = token, until
		t.renew = now.Add(until.Sub(now) * 5 / 7)
	case now.Before(t.until):
		t.renew = now.Add(again)
		if t.until.Before(t.renew) {
			t.renew = t.until
		}
	default:
		return "", fmt.Errorf("sign in to EKS: %w", err)
	}
	return t.token, nil
}

// sign makes a token, which holds no longer than the identity.
func (t *Tokens) sign(ctx context.Context, now time.Time) (token string, until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	who, err := t.identity.Retrieve(ctx)
	if err != nil {
		return "", until, err
	}
	signed, err := t.sts.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *sts.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return who, nil })
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(headerCluster, t.cluster), smithyhttp.SetHeaderValue(headerExpires, expires))
		})
	})
	if err != nil {
		return "", until, err
	}
	until = now.Add(lifetime)
	if who.CanExpire && who.Expires.Before(until) {
		until = who.Expires
	}
	return prefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)), until, nil
}
