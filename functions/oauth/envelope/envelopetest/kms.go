// Package envelopetest is a fake of AWS KMS, for tests.
package envelopetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mcpgateway/functions/oauth/envelope"
)

const region = "eu-central-1"

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
	return aws.Config{Region: region, BaseEndpoint: &f.URL, RetryMaxAttempts: 1,
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
	if err := f.authenticate(r, body); err != nil {
		fail(w, 400, "IncompleteSignatureException", err.Error())
		return
	}
	if f.Down.Load() {
		fail(w, 500, "KMSInternalException", "down")
		return
	}
	var q asked
	if err := json.Unmarshal(body, &q); err != nil {
		fail(w, 400, "SerializationException", err.Error())
		return
	}
	f.mu.Lock()
	f.labels = append(f.labels, q.Context)
	f.mu.Unlock()
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GenerateDataKey":
		if q.KeyID != Key || (q.KeySpec == "") == (q.NumberOfBytes == 0) {
			fail(w, 400, "ValidationException", "KeyId, and one of KeySpec and NumberOfBytes, are required")
			return
		}
		key, wrapped, err := f.kek.NewKey(r.Context(), q.Context)
		if err != nil {
			f.t.Error(err)
		}
		answer(w, map[string]any{"KeyId": Key, "Plaintext": key, "CiphertextBlob": wrapped})
	case "TrentService.Decrypt":
		if len(q.CiphertextBlob) == 0 {
			fail(w, 400, "ValidationException", "CiphertextBlob is required")
			return
		}
		if q.KeyID != Key {
			fail(w, 400, "IncorrectKeyException", "another key")
			return
		}
		key, err := f.kek.Unwrap(r.Context(), q.CiphertextBlob, q.Context)
		if err != nil {
			fail(w, 400, "InvalidCiphertextException", "")
			return
		}
		answer(w, map[string]any{"KeyId": Key, "Plaintext": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		fail(w, 400, "UnknownOperationException", "")
	}
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func fail(w http.ResponseWriter, status int, kind, text string) {
	w.WriteHeader(status)
	answer(w, map[string]string{"__type": kind, "message": text})
}

var signed = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/eu-central-1/kms/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

// authenticate signs the request again: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
func (f *KMS) authenticate(r *http.Request, body []byte) error {
	parts := signed.FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if parts == nil || err != nil || at.Format("20060102") != parts[1] || time.Since(at).Abs() > 5*time.Minute {
		return errors.New("no signature of version 4 for kms, made now")
	}
	names := strings.Split(parts[2], ";")
	if !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-target") || !slices.Contains(names, "x-amz-security-token") {
		return errors.New("host, x-amz-target and x-amz-security-token must be signed")
	}
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}, ContentLength: r.ContentLength}
	for _, name := range names {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), Credentials, again, hex.EncodeToString(hash[:]), "kms", region, at); err != nil {
		return err
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return errors.New("another signature")
	}
	return nil
}
