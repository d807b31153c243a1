package envelope

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
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	region = "eu-central-1"
	keyARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

var keys = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret-access-key", SessionToken: "session"}

// fakeKMS is a fake of AWS KMS with one key: it takes GenerateDataKey and Decrypt as the API reference has them, from who signs
// with its credentials, and binds what it wraps to the encryption context.
type fakeKMS struct {
	t      *testing.T
	kek    *File
	down   atomic.Bool
	labels chan Label // of what was asked for
}

func startKMS(t *testing.T) (*fakeKMS, *KMS, string) {
	t.Helper()
	secret := make([]byte, keySize)
	rand.Read(secret) //nolint:errcheck // it never fails
	kek, err := NewFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeKMS{t: t, kek: kek, labels: make(chan Label, 100)}
	at := httptest.NewServer(f)
	t.Cleanup(at.Close)
	return f, NewKMS(keyARN, awsConfig(at.URL, keys)), at.URL
}

func awsConfig(url string, c aws.Credentials) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })}
}

// asked is a request of either kind.
type asked struct {
	KeyID          string `json:"KeyId"`
	KeySpec        string
	NumberOfBytes  int
	CiphertextBlob []byte
	Context        Label `json:"EncryptionContext"`
}

// ServeHTTP implements http.Handler.
func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err := f.authenticate(r, body); err != nil {
		fail(w, 400, "IncompleteSignatureException", err.Error())
		return
	}
	if f.down.Load() {
		fail(w, 500, "KMSInternalException", "down")
		return
	}
	var q asked
	if err := json.Unmarshal(body, &q); err != nil {
		fail(w, 400, "SerializationException", err.Error())
		return
	}
	f.labels <- q.Context
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GenerateDataKey":
		if q.KeyID != keyARN || (q.KeySpec == "") == (q.NumberOfBytes == 0) {
			fail(w, 400, "ValidationException", "KeyId, and one of KeySpec and NumberOfBytes, are required")
			return
		}
		key, wrapped, err := f.kek.NewKey(r.Context(), q.Context)
		if err != nil {
			f.t.Error(err)
		}
		answer(w, map[string]any{"KeyId": keyARN, "Plaintext": key, "CiphertextBlob": wrapped})
	case "TrentService.Decrypt":
		if len(q.CiphertextBlob) == 0 {
			fail(w, 400, "ValidationException", "CiphertextBlob is required")
			return
		}
		if q.KeyID != keyARN {
			fail(w, 400, "IncorrectKeyException", "another key")
			return
		}
		key, err := f.kek.Unwrap(r.Context(), q.CiphertextBlob, q.Context)
		if err != nil {
			fail(w, 400, "InvalidCiphertextException", "")
			return
		}
		answer(w, map[string]any{"KeyId": keyARN, "Plaintext": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
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
func (f *fakeKMS) authenticate(r *http.Request, body []byte) error {
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
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(hash[:]), "kms", region, at); err != nil {
		return err
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return errors.New("another signature")
	}
	return nil
}

func TestKMS(t *testing.T) {
	f, k, at := startKMS(t)
	s, err := seal(t, k, label, []byte("tokens"))
	if err != nil {
		t.Fatal(err)
	}
	if got := <-f.labels; got["sub"] != "alice" || len(got) != len(label) {
		t.Errorf("KMS was told %v of a new key", got)
	}
	if _, err := Open(t.Context(), k, label, s); err != nil {
		t.Error(err)
	}
	if got := <-f.labels; got["sub"] != "alice" {
		t.Errorf("KMS was told %v of a key", got)
	}
	if _, err := Open(t.Context(), NewKMS("another", awsConfig(at, keys)), label, s); !errors.Is(err, ErrForeign) {
		t.Errorf("by another key: %v", err)
	}
	wrong := keys
	wrong.SecretAccessKey = "another"
	if _, err := Open(t.Context(), NewKMS(keyARN, awsConfig(at, wrong)), label, s); err == nil || errors.Is(err, ErrForeign) {
		t.Errorf("by another's credentials: %v", err)
	}
	f.down.Store(true)
	if _, err := Open(t.Context(), k, label, s); err == nil || errors.Is(err, ErrForeign) {
		t.Errorf("while KMS is down: %v", err)
	}
	if _, err := seal(t, k, label, nil); err == nil {
		t.Error("a record is sealed while KMS is down")
	}
}
