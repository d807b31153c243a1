package catalog

import "mcpgateway/internal/rules"

// checkOAuthAccounts checks the servers at which people have accounts, of which each entry has one at most.
func checkOAuthAccounts(d *document, p *Platform, dir string) {
	given := map[string]bool{}
	for i := range p.OAuth.Clients {
		x := p.OAuth.Clients[i].Exchange
		if x == nil || x.Account == nil {
			continue
		}
		if given[x.Server] {
			d.bad(x, "oauth.clients.exchange.account: %s has one already, and people connect one account to a server", x.Server)
		}
		given[x.Server] = true
		checkOAuthAccount(d, p, x.Account, dir)
	}
}

func checkOAuthAccount(d *document, p *Platform, a *OAuthAccount, dir string) {
	const name = "oauth.clients.exchange.account."
	checkEgress(d, a.Egress, name+"egress", p)
	if d.required(&a.Resource, a, name+"resource") {
		destination{&a.Resource, name + "resource", &a.Egress, name + "egress", "the server"}.check(d)
		checkExchangeAudience(d, p, &a.Resource, name+"resource")
	}
	if d.has(&a.Issuer) {
		destination{&a.Issuer, name + "issuer", &a.Egress, name + "egress", "the authorization server"}.check(d)
	}
	if len(a.Scopes) > maxScopes {
		d.bad(&a.Scopes, name+"scopes: at most %d are possible", maxScopes)
	}
	for i := range a.Scopes {
		if !d.matches(&a.Scopes[i], scopeForm) {
			d.bad(&a.Scopes[i], name+"scopes: %.60q is no scope", a.Scopes[i])
		}
	}
	c := a.Client
	if c == nil {
		return
	}
	d.required(&c.ID, c, name+"client.id")
	d.text(&c.ID, name+"client.id", 2048)
	d.choice(&c.Auth, name+"client.auth", rules.AuthBasic, rules.AuthPost)
	if d.has(&c.Secret) {
		d.filePath(&c.Secret, name+"client.secret", dir, "")
	}
}
