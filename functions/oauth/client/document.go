package client

import (
	"cmp"
	"context"
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

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/egress"
)

// Bounds of fetching a document. The draft asks for no more than 5 KB.
const (
	maxDocument   = 16 << 10 // bytes
	fetchTimeout  = 5 * time.Second
	maxFetches    = 16 // at once
	maxCached     = 1000
	leastCached   = time.Minute
	usuallyCached = time.Hour
	mostCached    = 24 * time.Hour
	failureCached = 30 * time.Second
)

// ErrDocument says that a client's document could not be had, or is none.
var ErrDocument = errors.New("the client's metadata document")

// errBusy says that too many documents are being fetched.
var errBusy = fmt.Errorf("%w cannot be fetched now: too many are", ErrDocument)

// Documents finds clients whose id is the https URL of a document about them (draft-ietf-oauth-client-id-metadata-document).
type Documents struct {
	client *http.Client
	now    func() time.Time
	slots  chan struct{}
	flight singleflight.Group

	mu     sync.Mutex
	cached map[string]document
}

// document is what came of the last fetch.
type document struct {
	client *Client // nil where it failed
	err    error
	until  time.Time // not fetched again before
	stale  time.Time // may stand in for one that cannot be fetched, until then
}

// NewDocuments fetches from public addresses at port 443 only, whatever a name resolves to, and follows no redirect: who
// sends us an id chooses where we go. transport is for tests; nil is the guarded one.
func NewDocuments(now func() time.Time, transport http.RoundTripper) *Documents {
	if transport == nil {
		dialer := egress.Dialer{Guard: egress.Guard{Port: 443, Encrypted: true}, Timeout: fetchTimeout}
		transport = &http.Transport{
			DialContext:            func(ctx context.Context, _, address string) (net.Conn, error) { return dialer.Dial(ctx, address) },
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
			TLSHandshakeTimeout:    fetchTimeout,
		}
	}
	return &Documents{now: now, slots: make(chan struct{}, maxFetches), cached: map[string]document{}, client: &http.Client{Transport: transport,
		Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// checkID refuses ids that are no https URL with a path of its own.
func checkID(id string) (host string, err error) {
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" || CheckRedirect(id) != nil || len(u.Path) < 2 || u.RawQuery != "" || u.ForceQuery || u.Port() != "" {
		return "", ErrUnknown
	}
	return u.Host, nil
}

func (d *Documents) find(ctx context.Context, id string) (*Client, error) {
	host, err := checkID(id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	have, known := d.cached[id]
	d.mu.Unlock()
	if known && d.now().Before(have.until) {
		return have.client, have.err
	}
	// The fetch is for all who ask, so it does not end with whoever asked first.
	got, _, _ := d.flight.Do(id, func() (any, error) {
		return d.renew(context.WithoutCancel(ctx), id, host, have), nil
	})
	have = got.(document)
	return have.client, have.err
}

// renew fetches a document, and keeps what comes of it. One that was good a while ago outlives a server that is down.
func (d *Documents) renew(ctx context.Context, id, host string, old document) document {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return document{err: errBusy}
	}
	client, life, err := d.fetch(ctx, id)
	now := d.now()
	fresh := document{client: client, err: err, until: now.Add(life), stale: now.Add(mostCached)}
	if err != nil {
		fresh = document{err: err, until: now.Add(failureCached)}
		if old.client != nil && now.Before(old.stale) {
			fresh.client, fresh.err, fresh.stale = old.client, nil, old.stale
		}
	} else {
		client.Host = host
	}
	d.keep(id, fresh)
	return fresh
}

func (d *Documents) keep(id string, fresh document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.cached { // any: a flood of ids must not grow it
		if len(d.cached) < maxCached {
			break
		}
		delete(d.cached, other)
	}
	d.cached[id] = fresh
}

func (d *Documents) fetch(ctx context.Context, id string) (*Client, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, 0, ErrUnknown
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("%w cannot be fetched", ErrDocument) // not why: that would tell what is inside
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, 0, fmt.Errorf("%w is no JSON that is answered with 200", ErrDocument)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil || len(data) > maxDocument {
		return nil, 0, fmt.Errorf("%w is longer than 16 KiB, or breaks off", ErrDocument)
	}
	client, err := parseDocument(id, data)
	return client, lifetime(resp.Header.Get("Cache-Control")), err
}

// parseDocument makes a client of a document. It must say of itself that it is the one at that address, and can hold no
// secret, since everybody can read it.
func parseDocument(id string, data []byte) (*Client, error) {
	m, err := ParseMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	m.Auth = cmp.Or(m.Auth, AuthNone)
	if m.ClientID != id || m.Auth != AuthNone && m.Auth != AuthKeyJWT {
		return nil, fmt.Errorf("%w names another client_id, or a token_endpoint_auth_method with a secret", ErrDocument)
	}
	keys, err := parseKeys(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return &Client{ID: id, Name: m.Name, RedirectURIs: m.RedirectURIs, Auth: m.Auth, Keys: keys, Grants: m.GrantTypes, Assured: true}, nil
}

// lifetime is how long a document may be kept (RFC 9111 section 5.2.2.1), within bounds.
func lifetime(cacheControl string) time.Duration {
	for d := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(d)), "=")
		switch name {
		case "no-store", "no-cache":
			return leastCached
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				return min(max(time.Duration(n)*time.Second, leastCached), mostCached)
			}
		}
	}
	return usuallyCached
}
