package client

import (
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

// Bounds of fetching what a client names. The draft of metadata documents asks for no more than 5 KB.
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

// errBusy says that too much is being fetched.
var errBusy = errors.New("too many are fetched now")

// fetcher fetches JSON from addresses that strangers choose, and keeps what parse made of it.
type fetcher[T any] struct {
	what   error // is fetched; all errors are it
	parse  func(at string, data []byte) (T, error)
	client *http.Client
	now    func() time.Time
	slots  chan struct{}
	flight singleflight.Group

	mu     sync.Mutex
	cached map[string]fetched[T]
}

// fetched is what came of the last fetch.
type fetched[T any] struct {
	value T
	good  bool // there is a value, this fetch's or an older one's
	err   error
	at    time.Time
	until time.Time // not fetched again before, unless somebody must have it
	stale time.Time // may stand in for one that cannot be fetched, until then
}

// newFetcher fetches from public addresses at port 443 only, whatever a name resolves to, and follows no redirect: who
// sends us an address chooses where we go. transport is for tests; nil is the guarded one.
func newFetcher[T any](what error, parse func(string, []byte) (T, error), now func() time.Time, transport http.RoundTripper) *fetcher[T] {
	if transport == nil {
		dialer := egress.Dialer{Guard: egress.Guard{Port: 443, Encrypted: true}, Timeout: fetchTimeout}
		transport = &http.Transport{
			DialContext:            func(ctx context.Context, _, address string) (net.Conn, error) { return dialer.Dial(ctx, address) },
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
			TLSHandshakeTimeout:    fetchTimeout,
		}
	}
	return &fetcher[T]{what: what, parse: parse, now: now, slots: make(chan struct{}, maxFetches), cached: map[string]fetched[T]{}, client: &http.Client{Transport: transport,
		Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// fetchable refuses addresses that are no https URL at the usual port.
func fetchable(at string) (*url.URL, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" || CheckRedirect(at) != nil || u.Port() != "" {
		return nil, errors.New("it is no https URL at port 443")
	}
	return u, nil
}

// get is what is kept, or fetched where that is too old.
func (f *fetcher[T]) get(ctx context.Context, at string) (T, error) {
	return f.newer(ctx, at, func(have fetched[T]) bool { return f.now().Before(have.until) })
}

// newer fetches, unless what is kept will do.
func (f *fetcher[T]) newer(ctx context.Context, at string, enough func(fetched[T]) bool) (T, error) {
	f.mu.Lock()
	have, known := f.cached[at]
	f.mu.Unlock()
	if known && enough(have) {
		return have.value, have.err
	}
	// The fetch is for all who ask, so it does not end with whoever asked first.
	got, _, _ := f.flight.Do(at, func() (any, error) {
		return f.renew(context.WithoutCancel(ctx), at, have), nil
	})
	have = got.(fetched[T])
	return have.value, have.err
}

// renew fetches, and keeps what comes of it. What was good a while ago outlives a server that is down.
func (f *fetcher[T]) renew(ctx context.Context, at string, old fetched[T]) fetched[T] {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return fetched[T]{err: fmt.Errorf("%w cannot be fetched now: %w", f.what, errBusy)}
	}
	value, life, err := f.fetch(ctx, at)
	now := f.now()
	fresh := fetched[T]{value: value, good: true, at: now, until: now.Add(life), stale: now.Add(mostCached)}
	if err != nil {
		fresh = fetched[T]{err: err, at: now, until: now.Add(failureCached)}
		if old.good && now.Before(old.stale) {
			fresh.value, fresh.good, fresh.err, fresh.stale = old.value, true, nil, old.stale
		}
	}
	f.keep(at, fresh)
	return fresh
}

func (f *fetcher[T]) keep(at string, fresh fetched[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.cached { // any: a flood of addresses must not grow it
		if len(f.cached) < maxCached {
			break
		}
		delete(f.cached, other)
	}
	f.cached[at] = fresh
}

func (f *fetcher[T]) fetch(ctx context.Context, at string) (none T, life time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return none, 0, ErrUnknown
	}
	req.Header.Set("Accept", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return none, 0, fmt.Errorf("%w cannot be fetched", f.what) // not why: that would tell what is inside
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return none, 0, fmt.Errorf("%w is no JSON that is answered with 200", f.what)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil || len(data) > maxDocument {
		return none, 0, fmt.Errorf("%w is longer than 16 KiB, or breaks off", f.what)
	}
	value, err := f.parse(at, data)
	return value, lifetime(resp.Header.Get("Cache-Control")), err
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
