// Package invoke asks a deployer that is a function, by lambda:InvokeFunction, as if it were a server: whoever has an
// HTTP client for it needs no other.
//
// It signs its one kind of request itself: to build the SDK's client of Lambda takes longer than a function's first call.
package invoke

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/deploy"
)

// Transport is an http.RoundTripper. It holds connections and no other state.
type Transport struct {
	function string
	at       string // URL of its invocations
	aws      aws.Config
	signer   *v4.Signer
	http     http.RoundTripper
}

// New returns a Transport to a function, by its name. Nobody is asked yet.
func New(function string, c aws.Config) *Transport {
	base := "https://lambda." + c.Region + ".amazonaws.com"
	switch {
	case c.BaseEndpoint != nil:
		base = strings.TrimSuffix(*c.BaseEndpoint, "/")
	case strings.HasPrefix(c.Region, "cn-"):
		base += ".cn"
	}
	return &Transport{function: function, at: base + "/2015-03-31/functions/" + url.PathEscape(function) + "/invocations", aws: c,
		signer: v4.NewSigner(), http: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}}
}

// Bounds of a question and of what comes back, in bytes: the second is Lambda's own.
const (
	maxQuestion = 64 << 10
	maxReply    = 6 << 20
)

// RoundTrip implements http.RoundTripper. It waits as long as the request's context lasts. An error says nothing of whether
// the function ran: what it is asked can be asked again.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	question := []byte("null")
	if r.Body != nil {
		defer r.Body.Close()
		text, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion))
		if err != nil {
			return nil, err
		}
		if len(text) > 0 {
			question = text
		}
	}
	payload, err := json.Marshal(deploy.Invocation{Path: r.URL.Path, Question: question})
	if err != nil {
		return nil, err
	}
	text, err := t.ask(r.Context(), payload)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", t.function, err)
	}
	var reply deploy.Reply
	if err := json.Unmarshal(text, &reply); err != nil || reply.Status < 200 {
		return nil, fmt.Errorf("invoke %s: it is no deployer: %w", t.function, errors.Join(err, errors.New("not a reply")))
	}
	return &http.Response{StatusCode: reply.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(reply.Answer)),
		Body: io.NopCloser(bytes.NewReader(reply.Answer))}, nil
}

// again is how long the first wait is before what failed is asked again; each further one is twice as long.
const again = 100 * time.Millisecond

// ask invokes the function, as often as the configuration says where Lambda has no place for it or is broken.
func (t *Transport) ask(ctx context.Context, payload []byte) ([]byte, error) {
	for attempt, wait := 1, again; ; attempt, wait = attempt+1, wait*2 {
		text, passing, err := t.once(ctx, payload)
		if err == nil || !passing || attempt >= t.aws.RetryMaxAttempts {
			return text, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// once invokes the function; passing tells whether an error may be gone at the next attempt.
func (t *Transport) once(ctx context.Context, payload []byte) (text []byte, passing bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at, bytes.NewReader(payload))
	if err != nil {
		return nil, false, err
	}
	r.Header.Set("Content-Type", "application/json")
	keys, err := t.aws.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, false, err
	}
	hash := sha256.Sum256(payload)
	if err := t.signer.SignHTTP(ctx, keys, r, hex.EncodeToString(hash[:]), "lambda", t.aws.Region, time.Now()); err != nil {
		return nil, false, err
	}
	if err := awsenv.Sending(ctx, t.aws, "Lambda", "Invoke"); err != nil {
		return nil, false, err
	}
	r.Header["Idempotency-Key"] = nil // is not sent: it has net/http send again what met a connection from before we were frozen
	resp, err := t.http.RoundTrip(r)
	if err != nil {
		return nil, ctx.Err() == nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch failed := resp.Header.Get("X-Amz-Function-Error"); {
	case err != nil:
		return nil, ctx.Err() == nil, err
	case resp.StatusCode != http.StatusOK: // what it says may name an account
		return nil, resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500,
			fmt.Errorf("answered by %s (%.100s)", resp.Status, resp.Header.Get("X-Amzn-Errortype"))
	case failed != "": // why is in the function's log
		return nil, false, fmt.Errorf("the function failed (%.100s)", failed)
	case len(text) > maxReply:
		return nil, false, fmt.Errorf("a reply of more than %d bytes", maxReply)
	}
	return text, false, nil
}
