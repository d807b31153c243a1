package state

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/secret"
)

// Store is where records are. Its errors but ErrConflict say that it could not be asked.
type Store interface {
	// Get returns a record and its version; an empty version says that there is none.
	Get(ctx context.Context, name string) (sealed []byte, version string, err error)
	// Put replaces a version of a record, the empty one where there must be none, and returns the new one, or ErrConflict.
	Put(ctx context.Context, name, replaced string, sealed []byte, expires time.Time) (version string, err error)
}

// ErrConflict says that the record is another than the one that was to be replaced.
var ErrConflict = errors.New("the session's record has changed meanwhile")

const (
	maxAnswer  = 64 << 10 // bytes; a record has less
	maxVersion = 64       // bytes of an entity tag
)

// ClientConfig says where the store is; all fields are required.
type ClientConfig struct {
	URL        string      // http, https, or unix:PATH
	Credential secret.Text // bearer token (RFC 6750)
}

// Client is functions/sessions. It implements Store. It is trusted with nothing: its answers are bounded, no redirect is
// followed, and what it calls a record is one if it opens.
type Client struct {
	base       string
	credential secret.Text
	http       *http.Client
}

// NewClient makes a Client. It connects to nothing.
func NewClient(c ClientConfig) (*Client, error) {
	// No proxy of the environment: where records go is the operator's to say, in one place.
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxAnswer, DisableCompression: true}
	base := c.URL
	if path, is := strings.CutPrefix(c.URL, "unix:"); is {
		base = "http://localhost/sessions"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || c.Credential.Empty() {
		return nil, errors.New("session store: the URL must be http:// or https:// with a host and no user, or unix:PATH, and a token is required")
	}
	return &Client{base: strings.TrimSuffix(base, "/") + "/", credential: c.Credential, http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Get implements Store.
func (c *Client) Get(ctx context.Context, name string) ([]byte, string, error) {
	resp, body, err := c.ask(ctx, http.MethodGet, name, nil, nil)
	switch {
	case err != nil:
		return nil, "", err
	case resp.StatusCode == http.StatusNotFound && len(body) == 0: // what has a body is somebody else's
		return nil, "", nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", unexpected(resp)
	}
	version, err := entityTag(resp)
	if err != nil {
		return nil, "", err
	}
	return body, version, nil
}

// Put implements Store.
func (c *Client) Put(ctx context.Context, name, replaced string, sealed []byte, expires time.Time) (string, error) {
	condition := http.Header{"If-None-Match": {"*"}}
	if replaced != "" {
		condition = http.Header{"If-Match": {replaced}}
	}
	condition.Set("Content-Type", "application/octet-stream")
	resp, _, err := c.ask(ctx, http.MethodPut, name+"?expires="+strconv.FormatInt(expires.Unix(), 10), condition, sealed)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusPreconditionFailed:
		return "", ErrConflict
	case resp.StatusCode != http.StatusNoContent:
		return "", unexpected(resp)
	}
	return entityTag(resp)
}

func (c *Client) ask(ctx context.Context, method, place string, header http.Header, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+place, bytes.NewReader(body))
	if err != nil {
		return nil, nil, errors.New("no URL")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header["Authorization"] = []string{"Bearer " + c.credential.Reveal()}
	r.Header["User-Agent"] = []string{"mcpgateway-sessions"}
	resp, err := c.http.Do(r)
	if err != nil {
		if e, is := errors.AsType[*url.Error](err); is { // without the URL, which names the record
			err = e.Err
		}
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return resp, answer, err
}

func unexpected(resp *http.Response) error {
	return fmt.Errorf("the session store answered %.60q", resp.Status)
}

// entityTag is the version in an answer (RFC 9110, section 8.8.3): what goes into a header again must fit there.
func entityTag(resp *http.Response) (string, error) {
	tags := resp.Header["Etag"]
	if len(tags) != 1 || len(tags[0]) < 3 || len(tags[0]) > maxVersion || tags[0][0] != '"' || strings.ContainsFunc(tags[0], func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the session store names no version")
	}
	return tags[0], nil
}
