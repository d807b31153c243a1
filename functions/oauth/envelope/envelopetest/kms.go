// Package envelopetest is a fake of AWS KMS, for tests.
package envelopetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/internal/awsenv/awsfake"
)

// Key is the ARN of the one key that there is.
const Key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// Credentials are those of the one caller.
var Credentials = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret-access-key", SessionToken: "session"}

// KMS is a fake of AWS KMS with one key: it takes GenerateDataKey and Decrypt as the API reference has them, from who signs
// with its credentials, and binds what it wraps to the encryption context.
type KMS struct {
	URL  string
	Down atomic.Bool

	t      *testing.T
	kek    *envelope.File
	mu     sync.Mutex
	labels []envelope.Label
}

// Labels are the encryption contexts of all that was asked for so far.
func (f *KMS) Labels() []envelope.Label {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.labels)
}

// Start starts one, which is stopped with the test.
func Start(t *testing.T) *KMS {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret) //nolint:errcheck // it never fails
	kek, err := envelope.NewFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	f := &KMS{t: t, kek: kek}
	at := httptest.NewServer(f)
	t.Cleanup(at.Close)
	f.URL = at.URL
	return f
}

// Config is how a caller with such credentials asks it.
func (f *KMS) Config(c aws.Credentials) aws.Config {
	return aws.Config{Region: awsfake.Region, BaseEndpoint: &f.URL, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })}
}

// asked is a request of either kind.
type asked struct {
	KeyID          string `json:"KeyId"`
	KeySpec        string
	NumberOfBytes  int
	CiphertextBlob []byte
	Context        envelope.Label `json:"EncryptionContext"`
}

// ServeHTTP implements http.Handler.
func (f *KMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if _, err := awsfake.Authenticate(r, body, "kms", Credentials); err != nil {
		awsfake.Fail(w, 400, "IncompleteSignatureException", err.Error())
		return
	}
	if f.Down.Load() {
		awsfake.Fail(w, 500, "KMSInternalException", "down")
		return
	}
	var q asked
	if err := json.Unmarshal(body, &q); err != nil {
		awsfake.Fail(w, 400, "SerializationException", err.Error())
		return
	}
	f.mu.Lock()
	f.labels = append(f.labels, q.Context)
	f.mu.Unlock()
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GenerateDataKey":
		if q.KeyID != Key || (q.KeySpec == "") == (q.NumberOfBytes == 0) {
			awsfake.Fail(w, 400, "ValidationException", "KeyId, and one of KeySpec and NumberOfBytes, are required")
			return
		}
		key, wrapped, err := f.kek.NewKey(r.Context(), q.Context)
		if err != nil {
			f.t.Error(err)
		}
		awsfake.Answer(w, map[string]any{"KeyId": Key, "Plaintext": key, "CiphertextBlob": wrapped})
	case "TrentService.Decrypt":
		if len(q.CiphertextBlob) == 0 {
			awsfake.Fail(w, 400, "ValidationException", "CiphertextBlob is required")
			return
		}
		if q.KeyID != Key {
			awsfake.Fail(w, 400, "IncorrectKeyException", "another key")
			return
		}
		key, err := f.kek.Unwrap(r.Context(), q.CiphertextBlob, q.Context)
		if err != nil {
			awsfake.Fail(w, 400, "InvalidCiphertextException", "")
			return
		}
		awsfake.Answer(w, map[string]any{"KeyId": Key, "Plaintext": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		awsfake.Fail(w, 400, "UnknownOperationException", "")
	}
}
