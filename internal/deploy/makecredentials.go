package deploy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
	"mcpgateway/internal/rules"
)

// makeCredentials says what the server of entry s is sent; nil where that is nothing. What the loader would not have passed
// comes out as rules that no shim compiles.
func makeCredentials(s catalog.Server) *rules.Credentials {
	if s.Token == nil && len(s.Headers) == 0 {
		return nil
	}
	c := &rules.Credentials{Origin: originOf(s)}
	if s.Token != nil {
		c.InsecureForward = s.Token.InsecureForward
		c.Exchange = makeExchange(s.Token.Exchange)
	}
	for _, h := range s.Headers {
		header := rules.Header{Name: h.Name, Claim: h.Claim}
		if h.Secret != nil {
			header.Secret = h.Secret.Key
		}
		c.Headers = append(c.Headers, header)
	}
	return c
}

// originOf is where a remote server is; empty for one beside its shim.
func originOf(s catalog.Server) string {
	if s.Runtime.Remote == nil {
		return ""
	}
	const nowhere = "nowhere" // no server's origin
	u, err := url.Parse(s.Runtime.Remote.URL)
	if err != nil {
		return nowhere
	}
	origin, err := egress.Origin(u)
	if err != nil {
		return nowhere
	}
	return origin
}

func makeExchange(x *catalog.Exchange) *rules.Exchange {
	if x == nil {
		return nil
	}
	made := &rules.Exchange{
		Grant: x.Grant, URL: x.URL, Audience: x.Audience, Resource: x.Resource, Scopes: x.Scopes,
		SubjectTokenType: x.SubjectTokenType, RequestedTokenType: x.RequestedTokenType, Header: x.Header,
		Client: rules.Client{ID: x.Client.ID, Auth: x.Client.Auth, Audience: x.Client.Audience, KeyID: x.Client.KeyID},
	}
	if list, err := x.EgressRules(); err == nil {
		made.Egress = egress.Format(list)
	}
	if x.Actor != nil {
		made.ActorTokenType = x.Actor.TokenType
	}
	return made
}

// addSecrets gives the shim what the credentials of entry s are made of.
func addSecrets(shim *Unit, s catalog.Server) {
	add := func(key *catalog.SecretKey, file string) {
		shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: key.Key, File: file})
	}
	if s.Token != nil && s.Token.Exchange != nil {
		x := s.Token.Exchange
		if x.Client.Secret != nil {
			add(x.Client.Secret, "SHIM_EXCHANGE_SECRET_FILE")
		}
		if x.Actor != nil && x.Actor.Secret != nil {
			add(x.Actor.Secret, "SHIM_ACTOR_TOKEN_FILE")
		}
	}
	var keys []string
	for _, h := range s.Headers {
		if h.Secret != nil && !slices.Contains(keys, h.Secret.Key) {
			add(h.Secret, "SHIM_HEADER_SECRET_"+strconv.Itoa(len(keys))+"_FILE")
			keys = append(keys, h.Secret.Key)
		}
	}
	if keys != nil {
		shim.Env = append(shim.Env, EnvVar{"SHIM_HEADER_SECRETS", strings.Join(keys, ",")})
	}
}

// addOwnSecret gives the shim of entry s what it gets tokens of its own by, where it calls filters with one.
func addOwnSecret(shim *Unit, s catalog.Server, filters []catalog.Filter) {
	for _, name := range s.Filters {
		if f, _ := find(filters, name); f.Server != "" {
			shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: KeyOAuth, File: "SHIM_OAUTH_SECRET_FILE"})
			return
		}
	}
}

// shimKeys are the keys that entry s has the shim be given.
func shimKeys(s catalog.Server) (keys []*catalog.SecretKey) {
	if s.Token != nil && s.Token.Exchange != nil {
		keys = append(keys, s.Token.Exchange.Client.Secret)
		if s.Token.Exchange.Actor != nil {
			keys = append(keys, s.Token.Exchange.Actor.Secret)
		}
	}
	for _, h := range s.Headers {
		keys = append(keys, h.Secret)
	}
	return keys
}
