package lists

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/secret"
)

// How a snapshot is left and read over HTTP: PUT Path with the server's token, and GET Path?ServerParameter=ID by who shows
// the reader's. In the header HeaderReader the shim leaves the hash of that.
const (
	Path            = "/lists"
	ServerParameter = "server"
	HeaderReader    = "Lists-Reader"
)

// MaxLeft is how long what is left is at most: the reader's hash, and what is sealed.
const MaxLeft = sha256.Size + MaxBytes

// ReadLeft reads what a shim leaves, as it is to be kept.
func ReadLeft(r *http.Request) ([]byte, error) {
	reader, err := base64url.Decode(r.Header.Get(HeaderReader))
	if err != nil || len(reader) != sha256.Size {
		return nil, fmt.Errorf("%s is no hash of a reader", HeaderReader)
	}
	left, err := io.ReadAll(io.LimitReader(r.Body, MaxBytes+1))
	switch {
	case err != nil:
		return nil, errors.New("they break off")
	case len(left) > MaxBytes || !bytes.HasPrefix(left, []byte(format)):
		return nil, errors.New("of an unknown format, or too long")
	}
	return append(reader, left...), nil
}

// ForReader is what of that was sealed, for who shows whom it was left for.
func ForReader(left []byte, shown string) (sealed []byte, ok bool) {
	sum := sha256.Sum256([]byte(shown))
	if len(left) < sha256.Size || subtle.ConstantTimeCompare(sum[:], left[:sha256.Size]) == 0 {
		return nil, false
	}
	return left[sha256.Size:], true
}

// Place is where snapshots are left.
type Place struct {
	url    string
	client *http.Client
}

// NewPlace makes the place that is where the audit sink is: at an http or https URL, or on a socket, unix:PATH. Nobody is asked yet.
func NewPlace(audit string, timeout time.Duration) (*Place, error) {
	// No proxy of the environment, and no redirect: where lists are is the operator's to say, in one place.
	transport := &http.Transport{MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true}
	if path, socket := strings.CutPrefix(audit, "unix:"); socket {
		audit = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	u, err := url.Parse(audit)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("place of lists: an http or https URL without a user is required, or unix:PATH")
	}
	return &Place{url: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: Path}).String(), client: &http.Client{Timeout: timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Leave leaves a snapshot. The credential is the server's.
func (p *Place) Leave(ctx context.Context, k *Key, s *Snapshot, credential secret.Text) error {
	sealed, err := k.Seal(s)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url, bytes.NewReader(sealed))
	if err != nil {
		return fmt.Errorf("leave lists: %w", err)
	}
	reader := sha256.Sum256([]byte(k.reader.Reveal()))
	r.Header.Set(HeaderReader, base64url.Encode(reader[:]))
	r.Header.Set("Authorization", "Bearer "+credential.Reveal())
	r.Header.Set("Content-Type", "application/octet-stream")
	resp, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("leave lists: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("leave lists: %s", resp.Status)
	}
	return nil
}

// Read reads the snapshot of a server; nil where there is none.
func (p *Place) Read(ctx context.Context, k *Key, now time.Time) (*Snapshot, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"?"+url.Values{ServerParameter: {k.server}}.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("read lists: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+k.reader.Reveal())
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("read lists: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("read lists: %s", resp.Status)
	}
	sealed, err := io.ReadAll(io.LimitReader(resp.Body, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read lists: %w", err)
	}
	return k.Open(sealed, now)
}
