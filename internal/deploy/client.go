package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// The paths under which the deployer answers.
const (
	PathEnsure = "/ensure"
	PathFind   = "/find"
	PathStatus = "/status"
)

// Found answers PathFind.
type Found struct {
	Found    bool     `json:"found"`
	Instance Instance `json:"instance"`
}

// Failure is the body of every answer that is not 200.
type Failure struct {
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retryAfterMs,omitempty"`
}

// maxAnswer bounds what is read of an answer, in bytes. The deployer is ours, but a bound costs nothing.
const maxAnswer = 4 << 20

// Client asks the deployer over HTTP: on a Unix socket beside it, or elsewhere in the network. It holds no state and may be
// used concurrently.
type Client struct {
	base  string                 // URL without a path
	token func() (string, error) // what says who asks; nil on a socket, which only its owner reaches
	http  *http.Client
}

// connectTimeout bounds how long the deployer may take to be there: on a dead node nobody refuses.
const connectTimeout = 5 * time.Second

var dialer = net.Dialer{Timeout: connectTimeout}

// NewClient returns a client for the deployer at the path of a Unix socket. Nothing is dialled before the first question.
func NewClient(path string) *Client {
	return newClient("http://deployer", nil, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", path)
	})
}

// NewRemoteClient returns a client for the deployer at http[s]://HOST[:PORT], who is shown the token in a file. That is read
// for every question, as it is renewed there.
func NewRemoteClient(url, tokenFile string) *Client {
	return newClient(url, func() (string, error) { return readToken(tokenFile) }, dialer.DialContext)
}

func newClient(base string, token func() (string, error), dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	return &Client{base: base, token: token, http: &http.Client{
		Transport:     &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is the deployer's alone
	}}
}

// maxToken bounds a token, in bytes. Those of service accounts have about a thousand.
const maxToken = 8 << 10

func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	token, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err == nil && len(token) > maxToken {
		err = fmt.Errorf("%s holds more than %d bytes", file, maxToken)
	}
	return strings.TrimSpace(string(token)), err
}

// NewClientOver returns a client for the deployer that a transport leads to.
func NewClientOver(t http.RoundTripper) *Client {
	return &Client{base: "http://deployer", http: &http.Client{Transport: t}}
}

// Ensure returns the instance of key, started if need be. It waits until the instance takes calls, as long as the
// entry's startup time at most. Errors are *StartError, or ctx's.
func (c *Client) Ensure(ctx context.Context, key Key) (Instance, error) {
	var got Instance
	return got, c.ask(ctx, http.MethodPost, PathEnsure, key, &got)
}

// Find returns the instance of key if one takes calls. It never starts anything. Errors are *StartError, or ctx's.
func (c *Client) Find(ctx context.Context, key Key) (Instance, bool, error) {
	var got Found
	err := c.ask(ctx, http.MethodPost, PathFind, key, &got)
	return got.Instance, got.Found, err
}

// Status lists what is up. Errors are *StartError, or ctx's.
func (c *Client) Status(ctx context.Context) ([]Status, error) {
	var got []Status
	return got, c.ask(ctx, http.MethodGet, PathStatus, nil, &got)
}

func (c *Client) ask(ctx context.Context, method, path string, question, answer any) error {
	var body bytes.Buffer
	if question != nil {
		if err := json.NewEncoder(&body).Encode(question); err != nil {
			return unreachable(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, &body)
	if err != nil {
		return unreachable(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != nil {
		token, err := c.token()
		if err != nil {
			return unreachable(fmt.Errorf("read our token: %w", err))
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header["Idempotency-Key"] = nil // net/http may ask again, where it finds its connection to be of long ago; it is not sent
	res, err := c.http.Do(req)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return unreachable(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return unreachable(err)
	}
	if res.StatusCode != http.StatusOK {
		return failure(res.StatusCode, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return unreachable(err)
	}
	return nil
}

func failure(status int, text []byte) error {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return unreachable(fmt.Errorf("it does not answer who has our token (status %d); its log says why", status))
	}
	var f Failure
	if err := json.Unmarshal(text, &f); err != nil || f.Code == "" {
		return unreachable(fmt.Errorf("status %d", status))
	}
	return &StartError{Code: f.Code, Message: f.Message, RetryAfter: time.Duration(f.RetryAfterMS) * time.Millisecond,
		Cause: errors.New("the deployer's log says why")}
}

// ErrAway says that the deployer could not be asked, or gave no answer of its own: nothing is known of any instance.
var ErrAway = errors.New("ask the deployer")

func unreachable(err error) error {
	return AsStartError(fmt.Errorf("%w: %w", ErrAway, err))
}
