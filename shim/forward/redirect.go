package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

const (
	maxRedirects = 3
	maxDiscard   = 64 << 10 // bytes that are read of an answer that nobody gets, to use its connection again
)

// Ask sends the server an exchange of the shim's own, whose answer is the shim's too.
func (f *Forwarder) Ask(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	return f.exchange(ctx, x)
}

// exchange sends the request in the era that the server speaks, and returns the answer's head.
func (f *Forwarder) exchange(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	if f.Eras == nil {
		return f.authorized(ctx, x)
	}
	resp, err := f.Eras.Exchange(ctx, x, f.authorized)
	if _, ours := errors.AsType[*mcp.Error](err); err != nil && !ours {
		err = unreachable(x, err)
	}
	return resp, err
}

// authorized sends the request as it is. Where the server refuses the exchanged token (401), it goes out once more with a new
// one: it was not carried out, and its body is here (RFC 9110, section 15.5.2).
func (f *Forwarder) authorized(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	resp, err := f.follow(ctx, x)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again, err := x.Credential.Renew(ctx)
	if !again && err == nil {
		return resp, nil
	}
	discard(resp)
	if err != nil {
		return nil, err
	}
	return f.follow(ctx, x)
}

// follow sends the request. It follows the server where that redirects within its own
// origin, with the same method and body: frameworks do so to add or remove a slash. Nothing of a request, and no session
// id, goes anywhere else.
func (f *Forwarder) follow(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	endpoint := f.endpoint
	for hops := 0; ; hops++ {
		r, err := f.request(ctx, x, endpoint)
		if err != nil {
			return nil, err
		}
		resp, err := f.transport.RoundTrip(r)
		if err != nil {
			return nil, unreachable(x, err)
		}
		if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
			return resp, nil
		}
		discard(resp)
		if hops == maxRedirects {
			return nil, broken(fmt.Errorf("the server redirects more than %d times", maxRedirects))
		}
		next, err := redirected(r.URL, resp.Header["Location"])
		if err != nil {
			return nil, broken(err)
		}
		endpoint = next.String()
	}
}

func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	_ = resp.Body.Close()
}

// redirected is where a redirect leads, if that is within the origin it came from (RFC 6454, section 5).
func redirected(from *url.URL, locations []string) (*url.URL, error) {
	if len(locations) != 1 {
		return nil, fmt.Errorf("the server redirects to %d places", len(locations))
	}
	to, err := from.Parse(locations[0])
	switch {
	case err != nil, strings.Contains(to.RawQuery, " "): // net/url lets that through, and it would end the request target
		return nil, errors.New("the server redirects to what is no URL")
	case to.Opaque != "" || to.User != nil || to.Scheme != from.Scheme || !sameHost(from, to):
		return nil, fmt.Errorf("the server redirects to another origin, %.200q", to.Scheme+"://"+to.Host)
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}

// sameHost compares hosts as text: another spelling of the same machine is another host. The length tells ASCII letters
// from those outside of it that fold to the same, such as the Kelvin sign to k.
func sameHost(a, b *url.URL) bool {
	portA, errA := egress.PortOf(a)
	portB, errB := egress.PortOf(b)
	return errA == nil && errB == nil && portA == portB && len(a.Hostname()) == len(b.Hostname()) && strings.EqualFold(a.Hostname(), b.Hostname())
}
