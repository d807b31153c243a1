// Package secretversion asks AWS Secrets Manager which version of a secret is current. What the secret holds it never asks:
// with DescribeSecret alone, a role that may do no more is enough.
package secretversion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"mcpgateway/internal/clock"
)

// current is the staging label of the version that is in force (Secrets Manager user guide, "Secret versions").
const current = "AWSCURRENT"

// fresh is how long an answer holds: all instances of a server ask for the same, one after the other. It takes longer until
// anybody hears of a rotation.
const fresh = 2 * time.Second

// Source is Secrets Manager in one region. It may be used concurrently.
type Source struct {
	client *secretsmanager.Client
	mu     sync.Mutex
	known  map[string]answer // by name
}

type answer struct {
	version string
	asked   time.Time
}

// New returns a Source. Nobody is asked yet.
func New(c aws.Config) *Source {
	return &Source{client: secretsmanager.NewFromConfig(c), known: map[string]answer{}}
}

// Current is the id of a secret's current version. The error says what an operator can do.
func (s *Source) Current(ctx context.Context, name string) (string, error) {
	now := clock.Wall()
	s.mu.Lock()
	known := s.known[name]
	s.mu.Unlock()
	if age := now.Sub(known.asked); age >= 0 && age < fresh {
		return known.version, nil
	}
	version, err := s.ask(ctx, name)
	if err == nil {
		s.mu.Lock()
		s.known[name] = answer{version, now}
		s.mu.Unlock()
	}
	return version, err
}

func (s *Source) ask(ctx context.Context, name string) (string, error) {
	out, err := s.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "", fmt.Errorf("secret %s is missing in Secrets Manager: aws secretsmanager create-secret --name %[1]s makes it, of a JSON object with the entry's keys", name)
	}
	if err != nil {
		return "", fmt.Errorf("ask Secrets Manager for the version of %s: %w", name, err)
	}
	if out.DeletedDate != nil {
		return "", fmt.Errorf("secret %s is to be deleted: aws secretsmanager restore-secret --secret-id %[1]s keeps it", name)
	}
	for id, stages := range out.VersionIdsToStages {
		if slices.Contains(stages, current) {
			return id, nil
		}
	}
	return "", fmt.Errorf("secret %s has no current version: aws secretsmanager put-secret-value --secret-id %[1]s gives it one", name)
}
