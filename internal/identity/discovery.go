package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// maxDocument bounds a discovery document and a key set, in bytes.
const maxDocument = 512 << 10

// fetcher fetches the keys of an issuer from where its discovery document says (OpenID Connect Discovery section 4).
type fetcher struct {
	issuer string
	client *http.Client
}

// newClient makes a client that follows no redirect, so that nothing but the configuration and the discovery document
// says where keys come from, and that reads no endless document.
func newClient(c *http.Client) *http.Client {
	bounded := http.Client{Timeout: fetchTimeout}
	if c != nil {
		bounded = *c
	}
	if bounded.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxResponseHeaderBytes = 64 << 10
		t.MaxIdleConnsPerHost = 1
		t.IdleConnTimeout = 30 * time.Second
		bounded.Transport = t
	}
	bounded.Transport = boundedTransport{bounded.Transport}
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &bounded
}

// boundedTransport ends response bodies with an error after maxDocument bytes.
type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxDocument)
	}
	return resp, err
}

// now is fetch with the time that a keySource takes for now.
func (f fetcher) now(ctx context.Context) (*keySet, time.Time, error) {
	keys, err := f.fetch(ctx)
	return keys, time.Time{}, err
}

// fetch reads the discovery document anew each time: keys are fetched seldom, and their address may change too.
func (f fetcher) fetch(ctx context.Context) (*keySet, error) {
	// NewProvider refuses a document whose issuer is not ours byte for byte.
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, f.client), f.issuer)
	if err != nil {
		return nil, fmt.Errorf("read discovery document: %w", err)
	}
	var doc struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&doc); err != nil {
		return nil, fmt.Errorf("read discovery document: %w", err)
	}
	if err := f.checkKeysURL(doc.KeysURL); err != nil {
		return nil, fmt.Errorf("read discovery document: jwks_uri: %w", err)
	}
	body, err := f.get(ctx, doc.KeysURL)
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	return parseKeySet(body)
}

// checkKeysURL takes https anywhere, as issuers may have their keys on another host, and http where the issuer itself
// is on this machine and the keys are too.
func (f fetcher) checkKeysURL(address string) error {
	issuer, err := url.Parse(f.issuer)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("it is not a URL")
	}
	if u.Scheme == "https" || (u.Scheme == "http" && issuer.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil
	}
	return errors.New("it is not an https URL")
}

func (f fetcher) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// checkURL refuses issuer identifiers that RFC 8414 section 2 does not allow; http is allowed on this machine only.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return errors.New("it is not a URL")
	case len(address) > maxURL:
		return errors.New("it is too long")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(address, "#") || u.User != nil:
		return errors.New("it has a query, a fragment or a user")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return errors.New("it is not an https URL (http is for 127.0.0.1, [::1] and localhost only)")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// shorten cuts an error for the log: those of go-oidc hold whatever the other side sent.
func shorten(err error) string {
	const most = 300
	s := err.Error()
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
