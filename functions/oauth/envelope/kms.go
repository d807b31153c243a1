package envelope

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"mcpgateway/internal/awsenv"
)

// patience is how long a call of KMS may take with all its attempts.
const patience = 8 * time.Second

// KMS is a key-encryption key in AWS KMS. Labels are the encryption context, so that a key policy can ask for one and the log
// of KMS has it.
type KMS struct {
	id     string // the key's id, ARN or alias
	client *kms.Client
}

// NewKMS makes a KMS. It contacts nobody.
func NewKMS(id string, c aws.Config) *KMS { return &KMS{id: id, client: kms.NewFromConfig(c)} }

// StartKMS is NewKMS with what the environment says of AWS (awsenv.Config).
func StartKMS(id string) (*KMS, error) {
	c, err := awsenv.Config("KMS")
	if err != nil {
		return nil, err
	}
	return NewKMS(id, c), nil
}

// NewKey implements KEK.
func (k *KMS) NewKey(ctx context.Context, l Label) (key, wrapped []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := k.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &k.id, KeySpec: types.DataKeySpecAes256, EncryptionContext: l})
	if err != nil {
		return nil, nil, fmt.Errorf("make a data key in KMS: %w", err)
	}
	return out.Plaintext, out.CiphertextBlob, nil
}

// Unwrap implements KEK. The key is named, so that no other of the account's will do (KMS developer guide, Decrypt).
func (k *KMS) Unwrap(ctx context.Context, wrapped []byte, l Label) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.id, CiphertextBlob: wrapped, EncryptionContext: l})
	var invalid *types.InvalidCiphertextException
	var other *types.IncorrectKeyException
	switch {
	case errors.As(err, &invalid), errors.As(err, &other):
		return nil, fmt.Errorf("%w: KMS: %w", ErrForeign, err)
	case err != nil:
		return nil, fmt.Errorf("unwrap a data key in KMS: %w", err)
	}
	return out.Plaintext, nil
}
