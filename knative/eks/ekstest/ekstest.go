// Package ekstest is a fake of what stands behind the API server of a cluster of Amazon EKS: aws-iam-authenticator, which
// reads a token, and AWS STS, which verifies the signature of the request in it. Nothing is sent to AWS.
//
// It refuses what they refuse: other parameters than the known ones, other signed headers than those the authenticator sends,
// another host, and a date that is too old.
package ekstest

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mcpgateway/internal/catalog"
)

// Authenticator knows one cluster and one identity.
type Authenticator struct {
	Cluster, Region string
	Identity        aws.Credentials
}

// The SHA-256 of nothing: what a GET has for a body (AWS Signature Version 4, "Create a canonical request").
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// validity is how long after its date STS takes a request, whatever X-Amz-Expires says.
const validity = 15 * time.Minute

// known are the parameters that aws-iam-authenticator lets through (pkg/token/token.go, parameterWhitelist).
var known = map[string]bool{"action": true, "version": true, "x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true,
	"x-amz-expires": true, "x-amz-security-token": true, "x-amz-signature": true, "x-amz-signedheaders": true}

// Check accepts a token at a moment.
func (a Authenticator) Check(token string, now time.Time) error {
	encoded, ok := strings.CutPrefix(token, "k8s-aws-v1.")
	if !ok || len(token) > 4096 {
		return errors.New("no token of this form, or too long a one")
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return err
	}
	if want := "sts." + a.Region + ".amazonaws.com"; u.Scheme != "https" || u.Host != want || u.Path != "/" {
		return fmt.Errorf("%s://%s%s is not https://%s/", u.Scheme, u.Host, u.Path, want)
	}
	query := u.Query()
	for name, values := range query {
		if !known[strings.ToLower(name)] || len(values) != 1 {
			return fmt.Errorf("parameter %s, %d times", name, len(values))
		}
	}
	if query.Get("Action") != "GetCallerIdentity" || query.Get("Version") != "2011-06-15" || query.Get("X-Amz-Expires") != "60" {
		return fmt.Errorf("it asks for %s of %s within %s s", query.Get("Action"), query.Get("Version"), query.Get("X-Amz-Expires"))
	}
	date, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	if age := now.Sub(date); age > validity || age < -time.Minute {
		return fmt.Errorf("it was signed %v ago", age)
	}
	return a.verify(query, date)
}

// verify signs the request anew, as STS does: with the headers that the authenticator sends.
func (a Authenticator) verify(query url.Values, date time.Time) error {
	if headers := query.Get("X-Amz-SignedHeaders"); headers != "host;x-k8s-aws-id" {
		return fmt.Errorf("signed headers: %s", headers)
	}
	again := url.Values{}
	for _, name := range []string{"Action", "Version", "X-Amz-Expires"} {
		again.Set(name, query.Get(name))
	}
	r, err := http.NewRequest(http.MethodGet, "https://sts."+a.Region+".amazonaws.com/?"+again.Encode(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("x-k8s-aws-id", a.Cluster)
	signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), a.Identity, r, emptyHash, "sts", a.Region, date)
	if err != nil {
		return err
	}
	want, err := url.Parse(signed)
	if err != nil {
		return err
	}
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Signature"} {
		if got := query.Get(name); got != want.Query().Get(name) {
			return fmt.Errorf("%s is not of %s in %s", name, a.Identity.AccessKeyID, a.Cluster)
		}
	}
	return nil
}

// Serve is an API server that answers whoever has a token of the identity with what h does, until the test ends. The platform
// file's section names it, and the process has the identity, by its environment.
func (a Authenticator) Serve(t testing.TB, h http.HandlerFunc) *catalog.EKS {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if err := a.Check(token, time.Now()); err != nil {
			t.Errorf("refused: %v", err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(w, r)
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Setenv(t)
	return &catalog.EKS{Cluster: a.Cluster, Region: a.Region, Endpoint: server.URL, CA: ca}
}

// Setenv gives this process the identity, and no other that the machine may have.
func (a Authenticator) Setenv(t testing.TB) {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": a.Identity.AccessKeyID, "AWS_SECRET_ACCESS_KEY": a.Identity.SecretAccessKey,
		"AWS_SESSION_TOKEN": a.Identity.SessionToken, "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_REGION": "us-east-1"} {
		t.Setenv(name, value)
	}
}
