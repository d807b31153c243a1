package filter

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
	"mcpgateway/shim/call"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/ruleset"
)

// depthOf is how many filters are asked at the same time while f is: one more than the caller's token says, where the caller is
// itself a shim that asks a filter. The authorization server signs that, and for shims only: no client can make a filter fail,
// and pass what it would refuse, by a depth of its own. 0 where f is no server of the catalog.
func depthOf(x *call.Exchange, f *ruleset.Filter) (int, error) {
	if f.Server == nil || f.Server.Caller == nil {
		return 0, nil
	}
	depth := 1
	if x.Who.Issuer == f.Server.Caller.Issuer {
		if text, err := identity.Claim(x.Token.Reveal(), rules.FilterDepth); err == nil {
			before, err := strconv.Atoi(text)
			if err != nil {
				return 0, errors.New("the caller's token has a " + rules.FilterDepth + " that is none")
			}
			depth += before
		}
	}
	if depth > rules.MaxFilterDepth {
		return 0, fmt.Errorf("more than %d filters would be asked at the same time: do they ask each other?", rules.MaxFilterDepth)
	}
	return depth, nil
}

// known shows a server of the catalog a token of the shim's own.
type known struct {
	bounded
	self *exchange.Self
}

// RoundTrip implements http.RoundTripper.
func (k known) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := k.self.Token(r.Context())
	if err != nil {
		return nil, err
	}
	shown := r.Clone(r.Context())
	shown.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := k.bounded.RoundTrip(shown)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		k.self.Refused(token)
	}
	return resp, err
}
