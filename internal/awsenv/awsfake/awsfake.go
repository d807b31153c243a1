// Package awsfake is what fakes of AWS services in tests have in common: they check who signed, and answer as the JSON protocol
// of AWS does.
package awsfake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Region is where the fakes are.
const Region = "eu-central-1"

var signed = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([A-Z]+)/(\d{8})/` + Region + `/([a-z]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

// Authenticate tells which caller of a service signed a request, by signing it again:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
func Authenticate(r *http.Request, body []byte, service string, callers ...aws.Credentials) (who aws.Credentials, err error) {
	parts := signed.FindStringSubmatch(r.Header.Get("Authorization"))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if parts == nil || parts[3] != service || err != nil || at.Format("20060102") != parts[2] || time.Since(at).Abs() > 5*time.Minute {
		return who, errors.New("no signature of version 4 for " + service + ", made now")
	}
	known := slices.IndexFunc(callers, func(c aws.Credentials) bool { return c.AccessKeyID == parts[1] })
	if known < 0 {
		return who, errors.New("no caller is called " + parts[1])
	}
	names := strings.Split(parts[4], ";")
	if !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-target") || !slices.Contains(names, "x-amz-security-token") {
		return who, errors.New("host, x-amz-target and x-amz-security-token must be signed")
	}
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}, ContentLength: r.ContentLength}
	for _, name := range names {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), callers[known], again, hex.EncodeToString(hash[:]), service, Region, at); err != nil {
		return who, err
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return who, errors.New("another signature")
	}
	return callers[known], nil
}

// Answer answers with a value as JSON.
func Answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

// Fail answers with an error of a kind.
func Fail(w http.ResponseWriter, status int, kind, text string) {
	w.WriteHeader(status)
	Answer(w, map[string]string{"__type": kind, "message": text})
}
