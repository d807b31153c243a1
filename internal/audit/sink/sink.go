// Package sink delivers batches of audit records over HTTP.
//
// A batch is a JSON array, compressed, in one POST with an Idempotency-Key: a receiver that knows the key has the batch
// already (draft-ietf-httpapi-idempotency-key-header). One attempt is one request; when to try again is the caller's to
// say. The answer is trusted with nothing: it is bounded in time and size, no redirect is followed, and only what a
// receiver of records would say counts as its word that it has them.
package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/secret"
)

const (
	maxAnswer     = 64 << 10         // bytes of an answer; one with more is no answer
	maxRetryAfter = 60 * time.Second // that an answer may ask for
)

// Config says where the sink is. URL and Timeout are required.
type Config struct {
	URL        string         // http or https, or unix:PATH of a socket on which http is spoken
	Credential secret.Text    // bearer token (RFC 6750); none where empty
	Timeout    time.Duration  // for one attempt, answer and all
	Roots      *x509.CertPool // that its certificate is checked against; this machine's where nil
}

// Sink is the receiver of batches. It may be used concurrently.
type Sink struct {
	config Config
	client *http.Client
	zip    sync.Pool // of *gzip.Writer: each takes most of a megabyte, which an idle shim gives back
}

// New makes a Sink. It connects to nothing.
func New(c Config) (*Sink, error) {
	path, socket := strings.CutPrefix(c.URL, "unix:")
	if socket {
		c.URL = "http://localhost/audit"
	}
	u, err := url.Parse(c.URL)
	switch {
	case socket && path == "":
		return nil, errors.New("audit sink: unix: is followed by the socket's path")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil:
		return nil, errors.New("audit sink: the URL must be http:// or https:// with a host and no user, or unix:PATH")
	case c.Timeout <= 0:
		return nil, errors.New("audit sink: a timeout is required")
	}
	// No proxy of the environment: who reads the records is the operator's to say, in one place.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxAnswer, DisableCompression: true}
	if socket {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	return &Sink{config: c, client: &http.Client{Transport: transport, Timeout: c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Failure says why a batch was not taken.
type Failure struct {
	// Final says that the same batch will never be taken: what is in it is not what the receiver wants.
	Final bool
	// TooLarge says that a smaller batch may be taken.
	TooLarge   bool
	RetryAfter time.Duration // that the receiver asked for; at most a minute
	Cause      error
}

// Error implements error.
func (f *Failure) Error() string { return "deliver audit records: " + f.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (f *Failure) Unwrap() error { return f.Cause }

// Send makes one attempt to deliver records, each of which is JSON. The error is a *Failure: the receiver may have them
// all the same.
func (s *Sink) Send(ctx context.Context, key string, records [][]byte) error {
	body, err := s.compress(records)
	if err != nil {
		return &Failure{Cause: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return &Failure{Cause: err}
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}, "Idempotency-Key": {`"` + key + `"`},
		"User-Agent": {"mcpgateway-audit"}}
	if !s.config.Credential.Empty() {
		r.Header["Authorization"] = []string{"Bearer " + s.config.Credential.Reveal()}
	}
	resp, err := s.client.Do(r)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) { // without the URL, which may hold what is nobody's business
			err = e.Err
		}
		return &Failure{Cause: err}
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &Failure{Cause: fmt.Errorf("read answer: %w", err)}
	case n > maxAnswer:
		return &Failure{Cause: fmt.Errorf("an answer of more than %d bytes", maxAnswer)}
	}
	return judge(resp, n)
}

// judge tells whether an answer says that the records are there. A sign-in page, a proxy's notice and a redirect do not,
// whatever their status.
func judge(resp *http.Response, length int64) error {
	f := &Failure{Cause: fmt.Errorf("the sink answered %.60q", resp.Status)}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if length == 0 || kind == "application/json" {
			return nil
		}
		f.Cause = fmt.Errorf("the sink answered %.60q with %.60q: only JSON, or nothing, says that it has the records", resp.Status, kind)
	case code == http.StatusRequestEntityTooLarge:
		f.TooLarge = true
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		f.Final = true
	case code == http.StatusTooManyRequests, code >= 500:
		f.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return f
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3), and takes neither for more than a minute: a clock that
// jumped must not end delivery.
func retryAfter(v string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(v, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// compress makes the array.
func (s *Sink) compress(records [][]byte) ([]byte, error) {
	var out bytes.Buffer
	z, _ := s.zip.Get().(*gzip.Writer)
	if z == nil {
		var err error
		if z, err = gzip.NewWriterLevel(&out, gzip.BestSpeed); err != nil {
			return nil, err
		}
	}
	defer s.zip.Put(z)
	z.Reset(&out)
	before := []byte{'['}
	for _, r := range records {
		// Of a buffer nothing fails; what does is told by Close.
		_, _ = z.Write(before)
		_, _ = z.Write(r)
		before = []byte{','}
	}
	_, _ = z.Write([]byte{']'})
	err := z.Close()
	return out.Bytes(), err
}
