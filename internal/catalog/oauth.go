package catalog

import "slices"

// OAuth is the authorization server (functions/oauth), which signs people in at their own provider for clients that have
// no client id there.
type OAuth struct {
	URL      string        `yaml:"url"`      // its issuer identifier, an origin: one of issuers, which brokers the provider
	Provider OAuthProvider `yaml:"provider"` // where people sign in
	Clients  []OAuthClient `yaml:"clients"`  // that are known beforehand; others register themselves
	State    string        `yaml:"state"`    // folder of its store, default <deployer.state>/oauth
	Table    string        `yaml:"table"`    // DynamoDB table of its store, instead of a file: for several processes, and for a function
	Key      string        `yaml:"key"`      // file of 32 random bytes that seal what it keeps, default <state>/seal.key; with table all processes need the same
}

// Files are the paths of what the authorization server reads at its start, for whoever brings them there.
func (o *OAuth) Files() []string {
	files := []string{o.Key, o.Provider.Secret}
	for _, c := range o.Clients {
		files = append(files, c.Secret, c.Keys)
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
	Redirects  []string       `yaml:"redirects"`  // its redirect URIs; without any, exchange and assertions it is an agent that acts for itself
	Secret     string         `yaml:"secret"`     // file of its secret
	Keys       string         `yaml:"keys"`       // file of its public keys, a JSON Web Key Set, instead of a secret
	Exchange   *OAuthExchange `yaml:"exchange"`   // which tokens it may exchange (RFC 8693)
	Assertions bool           `yaml:"assertions"` // it acts for whom the provider says so (ID-JAG), and nobody is asked here
}

// OAuthExchange says which tokens a client may exchange: those for one server for others meant for what is behind it, as a shim
// does, or the provider's with an audience that all servers share for one server's.
type OAuthExchange struct {
	Server    string   `yaml:"server"`    // the entry whose callers' tokens the client takes, and no other's
	Audiences []string `yaml:"audiences"` // with server: what the tokens may be for that it gets; nothing of this gateway
	Shared    []string `yaml:"shared"`    // audiences of the provider's access tokens that the client takes, for any server's
}
