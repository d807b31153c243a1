// Package secretversiontest is a fake of AWS Secrets Manager, for tests.
package secretversiontest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mcpgateway/internal/awsenv/awsfake"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The two callers: one may learn which version is current, one may read that version, and neither may do what the other does.
var (
	Describer = aws.Credentials{AccessKeyID: "AKIDDESCRIBES", SecretAccessKey: "describes", SessionToken: "session"}
	Reader    = aws.Credentials{AccessKeyID: "AKIDREADS", SecretAccessKey: "reads", SessionToken: "session"}
)

// SecretsManager is a fake of AWS Secrets Manager: it takes DescribeSecret of Describer and GetSecretValue of Reader as the
// API reference has them, signed. A test in which somebody asks for what is not theirs fails.
type SecretsManager struct {
	URL  string
	Down atomic.Bool

	t       testing.TB
	mu      sync.Mutex
	secrets map[string][]version // by name; the last is the current one
	asked   []string
}

type version struct {
	id      string
	value   string
	deleted bool // the secret is, from then on
}

// Start starts one, which is stopped with the test.
func Start(t testing.TB) *SecretsManager {
	t.Helper()
	f := &SecretsManager{t: t, secrets: map[string][]version{}}
	at := httptest.NewServer(f)
	t.Cleanup(at.Close)
	f.URL = at.URL
	return f
}

// Config is how a caller asks it.
func (f *SecretsManager) Config(c aws.Credentials) aws.Config {
	return aws.Config{Region: awsfake.Region, BaseEndpoint: &f.URL, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })}
}

// Put gives a secret a new current version, and returns its id. Without a value it has none.
func (f *SecretsManager) Put(name, value string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", len(f.secrets[name])+1, sha256.Sum256([]byte(name)))[:36]
	f.secrets[name] = append(f.secrets[name], version{id: id, value: value})
	return id
}

// Delete begins the time after which a secret is gone.
func (f *SecretsManager) Delete(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[name] = append(f.secrets[name], version{deleted: true})
}

// Asked is what was asked so far, as "DescribeSecret NAME", and forgets it.
func (f *SecretsManager) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// ServeHTTP implements http.Handler.
func (f *SecretsManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	who, err := awsfake.Authenticate(r, body, "secretsmanager", Describer, Reader)
	if err != nil {
		awsfake.Fail(w, 400, "IncompleteSignatureException", err.Error())
		return
	}
	if f.Down.Load() {
		awsfake.Fail(w, 500, "InternalServiceError", "down")
		return
	}
	var q struct{ SecretID, VersionID, VersionStage string }
	if err := json.Unmarshal(body, &q); err != nil || q.SecretID == "" {
		awsfake.Fail(w, 400, "InvalidParameterException", "SecretId is required")
		return
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, operation+" "+q.SecretID)
	if may := map[string]aws.Credentials{"DescribeSecret": Describer, "GetSecretValue": Reader}[operation]; may != who {
		f.t.Errorf("%s asked for %s of %s, which its role may not", who.AccessKeyID, operation, q.SecretID)
		awsfake.Fail(w, 400, "AccessDeniedException", "User is not authorized to perform: secretsmanager:"+operation)
		return
	}
	versions := f.secrets[q.SecretID]
	switch {
	case len(versions) == 0:
		awsfake.Fail(w, 400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case operation == "DescribeSecret":
		awsfake.Answer(w, describe(q.SecretID, versions))
	default:
		f.tell(w, q.SecretID, q.VersionID, versions)
	}
}

// describe is what DescribeSecret answers with.
func describe(name string, versions []version) map[string]any {
	said := map[string]any{"Name": name, "ARN": arn(name), "CreatedDate": 1.7e9}
	stages := map[string][]string{}
	for i, v := range slices.Backward(versions) {
		switch {
		case v.deleted:
			said["DeletedDate"] = 1.8e9
		case v.value == "": // a secret without a value has no version
		case i == len(versions)-1:
			stages[v.id] = []string{"AWSCURRENT"}
		case i == len(versions)-2:
			stages[v.id] = []string{"AWSPREVIOUS"}
		}
	}
	said["VersionIdsToStages"] = stages
	return said
}

// tell answers GetSecretValue, for which a version must be named: the role's condition says so.
func (f *SecretsManager) tell(w http.ResponseWriter, name, id string, versions []version) {
	if id == "" {
		f.t.Errorf("a value of %s was asked for without a version", name)
		awsfake.Fail(w, 400, "AccessDeniedException", "User is not authorized to perform: secretsmanager:GetSecretValue")
		return
	}
	for _, v := range versions {
		if v.id == id && v.value != "" {
			awsfake.Answer(w, map[string]any{"Name": name, "ARN": arn(name), "VersionId": id, "SecretString": v.value, "CreatedDate": 1.7e9})
			return
		}
	}
	awsfake.Fail(w, 400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+id)
}

func arn(name string) string {
	return "arn:aws:secretsmanager:" + awsfake.Region + ":123456789012:secret:" + name + "-AbCdEf"
}
