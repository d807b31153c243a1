package catalog

import (
	"net/url"
	"regexp"
	"strings"

	"mcpgateway/internal/rules"
)

const maxHeaders = 100

func checkToken(d *document, s *Server, p *Platform) {
	t := s.Token
	if t == nil {
		return
	}
	d.one(t, t, "token needs exactly one of %s", alternative{"exchange", t.Exchange != nil}, alternative{"insecureForward", t.InsecureForward})
	if t.InsecureForward && s.Runtime.Remote != nil {
		d.bad(&t.InsecureForward, "token.insecureForward is not possible with runtime.remote: whoever runs that server could use the caller's token at every server here that takes it")
	}
	if t.Exchange != nil {
		checkExchange(d, t.Exchange, p)
	}
}

func checkExchange(d *document, x *Exchange, p *Platform) {
	const name = "token.exchange."
	d.choice(&x.Grant, name+"grant", rules.GrantTokenExchange, rules.GrantJWTBearer)
	checkEgress(d, x.Egress, name+"egress", p)
	if d.required(&x.URL, x, name+"url") {
		destination{&x.URL, name + "url", &x.Egress, name + "egress", "the token endpoint"}.check(d)
	}
	d.text(&x.Audience, name+"audience", 2048)
	d.text(&x.Resource, name+"resource", 2048)
	for i := range x.Scopes {
		if d.text(&x.Scopes[i], name+"scopes", 256); !scope.MatchString(x.Scopes[i]) {
			d.bad(&x.Scopes[i], name+"scopes: write one scope an item, in visible characters without \\ and \"")
		}
	}
	d.choice(&x.SubjectTokenType, name+"subjectTokenType", "access_token", "jwt")
	d.choice(&x.RequestedTokenType, name+"requestedTokenType", "access_token", "jwt")
	if a := x.Actor; a != nil {
		d.choice(&a.TokenType, name+"actor.tokenType", "access_token", "jwt")
		requiredSecret(d, a.Secret, a, name+"actor.secret")
		if x.Grant == rules.GrantJWTBearer {
			d.bad(a, name+"actor is for grant: token-exchange")
		}
	}
	checkExchangeClient(d, x)
	if d.has(&x.Header) {
		checkHeaderName(d, &x.Header, name+"header", nil)
	}
}

// scope is a scope-token of RFC 6749, section 3.3.
var scope = regexp.MustCompile(`^[!#-\[\]-~]+$`)

func checkExchangeClient(d *document, x *Exchange) {
	const name = "token.exchange.client."
	c, at := &x.Client, any(&x.Client)
	if !d.has(c) {
		at = x // for what is missing
	}
	d.choice(&c.Auth, name+"auth", rules.AuthBasic, rules.AuthPost, rules.AuthPrivateKey, rules.AuthNone)
	d.required(&c.ID, at, name+"id")
	d.text(&c.ID, name+"id", 2048)
	d.text(&c.Audience, name+"audience", 2048)
	d.text(&c.KeyID, name+"keyID", 256)
	switch c.Auth {
	case rules.AuthNone:
		if c.Secret != nil {
			d.bad(c.Secret, name+"secret is not used with auth: none")
		}
	default:
		requiredSecret(d, c.Secret, at, name+"secret")
	}
	if c.Auth != rules.AuthPrivateKey && c.Audience+c.KeyID != "" {
		d.bad(c, name+"audience and keyID are for auth: private_key_jwt")
	}
}

func requiredSecret(d *document, s *SecretKey, in any, name string) {
	if s == nil {
		d.bad(in, "%s is missing", name)
		return
	}
	checkSecret(d, s, name)
}

// checkHeaders never repeats what is no name: it may be a secret in the wrong place.
func checkHeaders(d *document, s *Server) {
	if len(s.Headers) > maxHeaders {
		d.bad(&s.Headers, "headers: at most %d are possible", maxHeaders)
		return
	}
	given := map[string]bool{}
	if s.Token != nil {
		given["authorization"] = s.Token.InsecureForward
		if x := s.Token.Exchange; x != nil {
			given["authorization"] = x.Header == ""
			given[strings.ToLower(x.Header)] = true
		}
	}
	for i := range s.Headers {
		h := &s.Headers[i]
		if d.required(&h.Name, h, "headers.name") {
			checkHeaderName(d, &h.Name, "headers.name", given)
			given[strings.ToLower(h.Name)] = true
		}
		d.one(h, h, "headers: exactly one of %s is needed", alternative{"secret", h.Secret != nil}, alternative{"claim", d.has(&h.Claim)})
		checkSecret(d, h.Secret, "headers.secret")
		if d.has(&h.Claim) && d.required(&h.Claim, h, "headers.claim") {
			d.text(&h.Claim, "headers.claim", 256)
		}
		checkHeaderHost(d, s, h)
	}
}

// checkHeaderHost has the operator say where a value goes, so that a new URL does not take an old server's secret along.
func checkHeaderHost(d *document, s *Server, h *Header) {
	if s.Runtime.Remote == nil {
		if d.has(&h.Host) {
			d.bad(&h.Host, "headers.host is for runtime.remote: a server that runs here is beside its shim")
		}
		return
	}
	u, err := url.Parse(s.Runtime.Remote.URL)
	switch {
	case err != nil:
		return // said already
	case h.Host == "":
		d.bad(h, "headers.host is missing: write the host of runtime.remote.url")
	case !strings.EqualFold(h.Host, u.Host) && !strings.EqualFold(h.Host, u.Hostname()):
		d.bad(&h.Host, "headers.host is another than that of runtime.remote.url, and nothing is sent anywhere else")
	}
}

// headerName is a field name (RFC 9110, section 5.1) in characters that no server reads in two ways.
var headerName = newPattern(`^[A-Za-z][A-Za-z0-9-]{0,126}[A-Za-z0-9]$`)

// checkHeaderName refuses names that mean something to HTTP, to MCP, to us or to whoever stands in between.
func checkHeaderName(d *document, field *string, name string, given map[string]bool) {
	lower := strings.ToLower(*field)
	switch {
	case !d.matches(field, headerName):
		d.bad(field, "%s must be letters, digits and -", name)
	case given[lower]:
		d.bad(field, "%s: %s is given twice, or the token takes it", name, *field)
	case lower == "authorization" && given == nil:
		d.bad(field, "%s: leave it out, and the token goes out as Authorization: Bearer", name)
	case reservedHeader.MatchString(lower):
		d.bad(field, "%s: %s is not the server's to be sent: it means something to HTTP, to MCP or to the gateway", name, *field)
	}
}

var reservedHeader = regexp.MustCompile(`^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|host|expect|date|range|accept|` +
	`cookie2?|set-cookie|forwarded|via|origin|referer|user-agent|last-event-id|traceparent|tracestate|baggage|x-real-ip|x-request-id|` +
	`(proxy|content|accept|if|mcp|shim|k|knative|x-forwarded|sec|access-control)-.*)$`)
