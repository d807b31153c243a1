// Package secretversion asks AWS Secrets Manager which version of a secret is current. What the secret holds it never asks:
// with DescribeSecret alone, a role that may do no more is enough.
package secretversion

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// current is the staging label of the version that is in force (Secrets Manager user guide, "Secret versions").
const current = "AWSCURRENT"

// Source is Secrets Manager in one region. It may be used concurrently.
type Source struct{ client *secretsmanager.Client }

// New returns a Source. Nobody is asked yet.
func New(c aws.Config) *Source { return &Source{secretsmanager.NewFromConfig(c)} }

// Current is the id of a secret's current version. The error says what an operator can do.
func (s *Source) Current(ctx context.Context, name string) (string, error) {
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
