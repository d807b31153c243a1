package catalog

import "mcpgateway/internal/egress"

// Token says what becomes of the caller's token before the server is called.
type Token struct {
	Exchange        *Exchange `yaml:"exchange"`
	InsecureForward bool      `yaml:"insecureForward"`
}

// Exchange has the caller's token exchanged for one that is meant for the server.
type Exchange struct {
	Grant    string   `yaml:"grant"`    // token-exchange (RFC 8693) | jwt-bearer (on-behalf-of, Entra ID); token-exchange where empty
	URL      string   `yaml:"url"`      // the token endpoint
	Egress   []Egress `yaml:"egress"`   // where the token endpoint may be: without, at any public address and the URL's port
	Audience string   `yaml:"audience"` // of the token that is asked for
	Resource string   `yaml:"resource"` // URL of the server, for issuers that know RFC 8707
	Scopes   []string `yaml:"scopes"`
	// SubjectTokenType and RequestedTokenType are the last part of the type's URN (RFC 8693, section 3): access_token | jwt;
	// access_token where empty. jwt-bearer has none.
	SubjectTokenType   string         `yaml:"subjectTokenType"`
	RequestedTokenType string         `yaml:"requestedTokenType"`
	Actor              *Actor         `yaml:"actor"`
	Client             ExchangeClient `yaml:"client"`
	Header             string         `yaml:"header"` // that takes the token; Authorization: Bearer where empty
}

// Actor is who acts for the caller: a token that the shim's store holds (RFC 8693, section 2.1).
type Actor struct {
	Secret    *SecretKey `yaml:"secret"`
	TokenType string     `yaml:"tokenType"` // access_token | jwt; access_token where empty
}

// ExchangeClient is as whom the shim asks for the exchange. Its secret is a text, or for private_key_jwt a private key as
// PEM or JWK; in PEM a certificate may follow.
type ExchangeClient struct {
	ID       string     `yaml:"id"`
	Auth     string     `yaml:"auth"` // client_secret_basic | client_secret_post | private_key_jwt | none; client_secret_basic where empty
	Secret   *SecretKey `yaml:"secret"`
	Audience string     `yaml:"audience"` // that private_key_jwt names; the token endpoint's URL where empty
	KeyID    string     `yaml:"keyID"`    // that private_key_jwt names, where the key's file does not
}

// Header is a header that the server is sent with each request: a secret, the file's first line as it stands, or a claim of
// the caller's token. It goes to no other host, whatever the server redirects to.
type Header struct {
	Name   string     `yaml:"name"`
	Secret *SecretKey `yaml:"secret"` // in the shim's store: Secret mcp-<id>-shim, or secrets/<id>-shim/<key> locally
	Claim  string     `yaml:"claim"`
	Host   string     `yaml:"host"` // that of a remote server's URL; a server that runs here has none
}

// EgressRules is what Egress names, as a guard takes it. An error means that the entry is not one that the loader passes.
func (x *Exchange) EgressRules() ([]egress.Rule, error) { return egressRules(x.Egress) }
