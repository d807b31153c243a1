package catalog

import (
	"slices"

	"mcpgateway/internal/egress"
)

// OAuth is the authorization server (functions/oauth), which signs people in at their own provider for clients that have
// no client id there.
type OAuth struct {
	URL      string        `yaml:"url"`      // its issuer identifier, an origin: one of issuers, which brokers the provider
	Provider OAuthProvider `yaml:"provider"` // where people sign in
	Clients  []OAuthClient `yaml:"clients"`  // that are known beforehand; others register themselves
	State    string        `yaml:"state"`    // folder of its store, default <deployer.state>/oauth
	Table    string        `yaml:"table"`    // DynamoDB table of its store, instead of a file: for several processes, and for a function
	Key      string        `yaml:"key"`      // file of 32 random bytes that seal what it keeps, default <state>/seal.key; with table all processes need the same
	KMSKey   string        `yaml:"kmsKey"`   // ARN of a key in AWS KMS that wraps those of people's accounts at servers, instead of the file
}

// Files are the paths of what the authorization server reads at its start, for whoever brings them there.
func (o *OAuth) Files() []string {
	files := []string{o.Key, o.Provider.Secret}
	for _, c := range o.Clients {
		files = append(files, c.Secret, c.Keys)
		if c.Exchange != nil && c.Exchange.Account != nil && c.Exchange.Account.Client != nil {
			files = append(files, c.Exchange.Account.Client.Secret)
		}
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// OAuthProvider is an OpenID provider, and the client that the authorization server is there.
type OAuthProvider struct {
	URL      string   `yaml:"url"`      // one of issuers, whose groupsClaim is read
	ClientID string   `yaml:"clientID"` // what the provider knows us by; the redirect URI to give it is <oauth.url>/callback
	Secret   string   `yaml:"secret"`   // file of the client's secret; without it we are a public client there
	Prompt   string   `yaml:"prompt"`   // sent along: some providers give a refresh token only with "consent"
	Scopes   []string `yaml:"scopes"`   // asked for, default openid, profile and offline_access; groups often need one more
}

// OAuthClient is a client that does not register itself.
type OAuthClient struct {
	ID         string         `yaml:"id"`         // its client_id
	Name       string         `yaml:"name"`       // shown to who is asked whether it may act for them, default the id
	Redirects  []string       `yaml:"redirects"`  // its redirect URIs; without any, exchange, assertions and shim it is an agent that acts for itself
	Secret     string         `yaml:"secret"`     // file of its secret
	Keys       string         `yaml:"keys"`       // file of its public keys, a JSON Web Key Set, instead of a secret
	KeysURL    string         `yaml:"keysURL"`    // https URL at which they lie, at a public address and port 443
	Shim       string         `yaml:"shim"`       // it is the shim of this entry, and may call the servers that the entry's filters are
	Exchange   *OAuthExchange `yaml:"exchange"`   // which tokens it may exchange (RFC 8693)
	Assertions bool           `yaml:"assertions"` // it acts for whom the provider says so (ID-JAG), and nobody is asked here
}

// Proves tells whether a client has anything to prove itself by.
func (c *OAuthClient) Proves() bool { return c.Secret != "" || c.Signs() }

// Signs tells whether it does so by a key.
func (c *OAuthClient) Signs() bool { return c.Keys != "" || c.KeysURL != "" }

// ShimClient is the client that the shim of an entry is; nil where there is none.
func (o *OAuth) ShimClient(server string) *OAuthClient {
	if o == nil {
		return nil
	}
	at := slices.IndexFunc(o.Clients, func(c OAuthClient) bool { return c.Shim == server && server != "" })
	if at < 0 {
		return nil
	}
	return &o.Clients[at]
}

// OAuthExchange says which tokens a client may exchange: those for one server for others meant for what is behind it, or for that
// of their person's account there, as a shim does, or the provider's with an audience that all servers share for one server's.
type OAuthExchange struct {
	Server    string        `yaml:"server"`    // the entry whose callers' tokens the client takes, and no other's
	Audiences []string      `yaml:"audiences"` // with server: what the tokens may be for that it gets; nothing of this gateway
	Account   *OAuthAccount `yaml:"account"`   // with server, instead of audiences: it gets tokens of its callers' own accounts
	Shared    []string      `yaml:"shared"`    // audiences of the provider's access tokens that the client takes, for any server's
}

// OAuthAccount is a server of somebody else's, at which people have accounts: each connects their own once, at the authorization
// server that the server's metadata names.
type OAuthAccount struct {
	Resource string              `yaml:"resource"` // the server's URL, as its metadata names it (RFC 9728)
	Issuer   string              `yaml:"issuer"`   // its authorization server, where that is another one than the metadata's first, or there is none
	Scopes   []string            `yaml:"scopes"`   // asked for, default those that the server names
	Client   *OAuthAccountClient `yaml:"client"`   // as whom we come; without it by our client id metadata document, or else registered there
	Egress   []Egress            `yaml:"egress"`   // where both may be: without, at any public address and the URL's port
}

// OAuthAccountClient is a client that somebody registered by hand. The redirect URI to give is <oauth.url>/connect/<server>/callback.
type OAuthAccountClient struct {
	ID     string `yaml:"id"`
	Secret string `yaml:"secret"` // file of its secret; without it we are a public client there
	Auth   string `yaml:"auth"`   // client_secret_basic | client_secret_post; client_secret_basic where empty
}

// EgressRules is what Egress names, as a guard takes it. An error means that the entry is not one that the loader passes.
func (a *OAuthAccount) EgressRules() ([]egress.Rule, error) { return egressRules(a.Egress) }
