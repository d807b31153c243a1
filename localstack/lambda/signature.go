package lambda

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// roleKeys are what a function's role gives its instances.
type roleKeys struct{ id, secret, token string }

func newRoleKeys() roleKeys {
	return roleKeys{id: "ASIA" + rand.Text()[:16], secret: rand.Text() + rand.Text()[:14], token: rand.Text()}
}

// maxSkew is how far a signature's time may be from ours.
const maxSkew = 5 * time.Minute

// signedWith is the Authorization of signature version 4: key id, date, region, service, names of the signed headers.
var signedWith = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([A-Z0-9]{4,128})/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?` +
	`SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{64}$`)

// authenticate finds the function whose credentials signed the request, by signing it again:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
func (f *Front) authenticate(r *http.Request, payload []byte, now time.Time) (*function, error) {
	parts := signedWith.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil {
		return nil, errors.New("the Authorization header is no signature of version 4")
	}
	caller := f.caller(parts[1])
	if caller == nil {
		return nil, errors.New("the access key id is nobody's")
	}
	signed := strings.Split(parts[5], ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case err != nil || at.Format("20060102") != parts[2]:
		return nil, errors.New("X-Amz-Date is missing or another day's")
	case at.Sub(now).Abs() > maxSkew:
		return nil, errors.New("signature expired")
	case parts[3] != region || parts[4] != "lambda":
		return nil, fmt.Errorf("credential should be scoped to %s/lambda", region)
	case !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date"):
		return nil, errors.New("host and x-amz-date must be signed")
	}
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	for _, name := range signed {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		}
	}
	hash := sha256.Sum256(payload)
	keys := aws.Credentials{AccessKeyID: caller.keys.id, SecretAccessKey: caller.keys.secret, SessionToken: caller.keys.token}
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(hash[:]), "lambda", region, at); err != nil {
		return nil, fmt.Errorf("sign again: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(r.Header.Get("Authorization"))) != 1 {
		return nil, errors.New("the request signature we calculated does not match the signature you provided")
	}
	return caller, nil
}

func (f *Front) caller(id string) *function {
	for _, fn := range f.functions {
		if fn.keys.id == id {
			return fn
		}
	}
	return nil
}
