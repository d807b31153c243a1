package catalog

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"mcpgateway/internal/apikey"
	"mcpgateway/internal/identity"
)

const (
	maxScopes       = 50
	maxOAuthClients = 1000
	maxRedirects    = 50
	maxRedirect     = 512 // bytes
)

// scopeForm is a scope-token of RFC 6749 section 3.3, in printable letters.
var scopeForm = newPattern(`^[!#-\[\]-~]{1,128}$`)

// tableForm is a table's name (Amazon DynamoDB developer guide, naming rules).
var tableForm = newPattern(`^[A-Za-z0-9._-]{3,255}$`)

// kmsForm is a key's ARN (AWS KMS developer guide, key ARN): an alias could be moved to a key that opens nothing.
var kmsForm = newPattern(`^arn:[a-z-]{3,20}:kms:[a-z0-9-]{1,30}:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)

// clientForm keeps client ids apart from subjects of a provider ("#") and from the URLs that other clients are known by.
var clientForm = newPattern(`^[A-Za-z0-9._-]{1,64}$`)

func checkOAuth(d *document, p *Platform, dir string) {
	o := p.OAuth
	if o == nil {
		return
	}
	if d.required(&o.URL, o, "oauth.url") {
		err := checkURL(o.URL)
		if err == nil {
			err = checkOrigin(o.URL)
		}
		if err != nil {
			d.bad(&o.URL, "oauth.url %v", err)
		}
	}
	checkOAuthProvider(d, p, dir)
	checkOAuthClients(d, p, dir)
	checkOAuthAccounts(d, p, dir)
	if d.has(&o.KMSKey) && !d.matches(&o.KMSKey, kmsForm) {
		d.bad(&o.KMSKey, "oauth.kmsKey: %.60q is no ARN of a key in KMS", o.KMSKey)
	}
	d.filePath(&o.State, "oauth.state", dir, filepath.Join(p.Deployer.State, "oauth"))
	d.filePath(&o.Key, "oauth.key", dir, filepath.Join(o.State, "seal.key"))
	if d.has(&o.Table) && !d.matches(&o.Table, tableForm) {
		d.bad(&o.Table, "oauth.table: %.60q is no name of a DynamoDB table: 3 to 255 letters, digits, dots, dashes and underscores", o.Table)
	}
}

func checkOAuthProvider(d *document, p *Platform, dir string) {
	o, up := p.OAuth, &p.OAuth.Provider
	d.required(&up.ClientID, up, "oauth.provider.clientID")
	d.text(&up.ClientID, "oauth.provider.clientID", 256)
	if d.has(&up.Prompt) && !d.matches(&up.Prompt, scopeForm) {
		d.bad(&up.Prompt, "oauth.provider.prompt: %.60q is no value of prompt", up.Prompt)
	}
	if d.has(&up.Secret) {
		d.filePath(&up.Secret, "oauth.provider.secret", dir, "")
	}
	if !d.has(&up.Scopes) {
		up.Scopes = []string{"openid", "profile", "offline_access"}
	}
	if len(up.Scopes) > maxScopes || !slices.Contains(up.Scopes, "openid") {
		d.bad(&up.Scopes, "oauth.provider.scopes: openid must be among them, and at most %d", maxScopes)
	}
	for i := range up.Scopes {
		if !d.matches(&up.Scopes[i], scopeForm) {
			d.bad(&up.Scopes[i], "oauth.provider.scopes: %.60q is no scope", up.Scopes[i])
		}
	}
	if !d.required(&up.URL, up, "oauth.provider.url") || o.URL == "" {
		return
	}
	at := func(address string) int {
		return slices.IndexFunc(p.Issuers, func(i identity.Issuer) bool { return i.URL == address })
	}
	if at(up.URL) < 0 {
		d.bad(&up.URL, "oauth.provider.url must be the url of one of issuers")
	}
	if i := at(o.URL); i < 0 || !slices.Contains(p.Issuers[i].Brokers, up.URL) {
		d.bad(&o.URL, "oauth.url must be the url of one of issuers, with the provider's url in its brokers")
	}
}

func checkOAuthClients(d *document, p *Platform, dir string) {
	o := p.OAuth
	if len(o.Clients) > maxOAuthClients {
		d.bad(&o.Clients, "oauth.clients: at most %d are possible", maxOAuthClients)
	}
	ids := map[string]bool{}
	for i := range o.Clients {
		c := &o.Clients[i]
		if d.required(&c.ID, c, "oauth.clients.id") && !d.matches(&c.ID, clientForm) {
			d.bad(&c.ID, "oauth.clients.id must be 1 to 64 letters, digits, dots, dashes and underscores")
		}
		if c.ID == apikey.Client {
			d.bad(&c.ID, "oauth.clients.id: %s is the gateway", c.ID)
		}
		if ids[c.ID] && c.ID != "" {
			d.bad(&c.ID, "oauth.clients: this id is given twice")
		}
		ids[c.ID] = true
		if !d.has(&c.Name) {
			c.Name = c.ID
		}
		d.text(&c.Name, "oauth.clients.name", 128)
		checkOAuthClient(d, c, dir)
		checkOAuthExchange(d, p, c)
		checkOAuthShim(d, o, c)
	}
}

func checkOAuthClient(d *document, c *OAuthClient, dir string) {
	if len(c.Redirects) > maxRedirects {
		d.bad(&c.Redirects, "oauth.clients.redirects: at most %d are possible", maxRedirects)
	}
	for i := range c.Redirects {
		r := &c.Redirects[i]
		d.text(r, "oauth.clients.redirects", maxRedirect)
		if u, err := url.Parse(*r); err != nil || u.Scheme == "" || strings.Contains(*r, "#") {
			d.bad(r, "oauth.clients.redirects must be absolute URIs without a fragment")
		}
	}
	for name, field := range map[string]*string{"secret": &c.Secret, "keys": &c.Keys} {
		if d.has(field) {
			d.filePath(field, "oauth.clients."+name, dir, "")
		}
	}
	if d.has(&c.KeysURL) {
		d.webURL(&c.KeysURL, c, "oauth.clients.keysURL")
		if !strings.HasPrefix(c.KeysURL, "https://") {
			d.bad(&c.KeysURL, "oauth.clients.keysURL must begin with https://")
		}
	}
	switch {
	case c.Secret != "" && c.Signs(), c.Keys != "" && c.KeysURL != "":
		d.bad(c, "oauth.clients: secret, keys or keysURL, one of them")
	case c.Exchange != nil && !c.Proves():
		d.bad(c, "oauth.clients: who exchanges tokens needs a secret or keys")
	case c.Assertions && !c.Proves():
		d.bad(c, "oauth.clients: who brings assertions needs a secret or keys")
	case len(c.Redirects) == 0 && !c.Proves():
		d.bad(c, "oauth.clients: an agent needs a secret or keys, and any other client redirects")
	}
}

func checkOAuthShim(d *document, o *OAuth, c *OAuthClient) {
	if !d.has(&c.Shim) || !d.label(&c.Shim, c, "oauth.clients.shim") {
		return
	}
	switch {
	case len(c.Redirects) > 0 || c.Assertions || c.Exchange != nil && c.Exchange.Server != c.Shim:
		d.bad(&c.Shim, "oauth.clients.shim: a shim acts for itself, and exchanges for its own server: leave out redirects and assertions, and any other exchange")
	case o.ShimClient(c.Shim) != c:
		d.bad(&c.Shim, "oauth.clients.shim: another client is the shim of %s already", c.Shim)
	}
}

func checkOAuthExchange(d *document, p *Platform, c *OAuthClient) {
	x := c.Exchange
	if x == nil {
		return
	}
	const name = "oauth.clients.exchange."
	d.one(x, x, "oauth.clients.exchange needs exactly one of %s", alternative{"server", d.has(&x.Server)}, alternative{"shared", d.has(&x.Shared)})
	notEmpty(d, &x.Audiences, name+"audiences")
	notEmpty(d, &x.Shared, name+"shared")
	switch {
	case d.has(&x.Server):
		d.label(&x.Server, x, name+"server")
		switch {
		case x.Account != nil && len(x.Audiences) > 0:
			d.bad(x, name+"audiences or account, not both")
		case x.Account == nil && len(x.Audiences) == 0:
			d.bad(x, name+"audiences is missing: write what the tokens are for that the client gets, or account where they are its callers' own")
		}
		if len(c.Redirects) > 0 {
			d.bad(x, name+"server is for a shim, which signs nobody in: leave redirects out")
		}
	case len(x.Audiences) > 0:
		d.bad(&x.Audiences, name+"audiences is for exchange.server")
	case x.Account != nil:
		d.bad(x.Account, name+"account is for exchange.server")
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"audiences", x.Audiences}, {"shared", x.Shared}} {
		for i := range list.values {
			checkExchangeAudience(d, p, &list.values[i], name+list.name)
		}
	}
}

// checkExchangeAudience refuses what is at the gateway: a token for one server would become one for another, and the shim of
// the one could call the other in its callers' names.
func checkExchangeAudience(d *document, p *Platform, audience *string, name string) {
	d.text(audience, name, 2048)
	if *audience == "" {
		d.bad(audience, "%s: an audience is empty", name)
		return
	}
	u, err := url.Parse(*audience)
	public, wrong := url.Parse(p.PublicURL)
	if err != nil || wrong != nil || u.Host == "" {
		return
	}
	for _, host := range append([]string{public.Host}, p.Hosts...) {
		if _, alias := p.AliasAt(strings.ToLower(u.Host)); alias || strings.EqualFold(u.Host, host) {
			d.bad(audience, "%s: %.200q is at this gateway: a token for one server would become one for another", name, *audience)
			return
		}
	}
}

// checkBrokers refuses issuers that speak for an issuer that is not there, or that speaks for others itself.
func checkBrokers(d *document, p *Platform) {
	for i := range p.Issuers {
		is := &p.Issuers[i]
		notEmpty(d, &is.Brokers, "issuers.brokers")
		for n := range is.Brokers {
			home := &is.Brokers[n]
			if !slices.ContainsFunc(p.Issuers, func(o identity.Issuer) bool {
				return o.URL == *home && o.URL != is.URL && len(o.Brokers) == 0
			}) {
				d.bad(home, "issuers.brokers: %.200q must be the url of another issuer, which brokers nobody", *home)
			}
		}
	}
}
