package rules

// Credentials say what a server is sent with each request, where that is anything: never the caller's token, unless
// InsecureForward says so.
type Credentials struct {
	// Origin is where they may go, as egress.Origin writes it; empty: to the server beside the shim. A shim whose server
	// is elsewhere sends nothing.
	Origin          string    `json:"origin,omitempty"`
	Exchange        *Exchange `json:"exchange,omitempty"`
	Headers         []Header  `json:"headers,omitempty"`
	InsecureForward bool      `json:"insecureForward,omitempty"`
}

// The values of Exchange.Grant.
const (
	GrantTokenExchange = "token-exchange" // RFC 8693
	GrantJWTBearer     = "jwt-bearer"     // RFC 7523 section 2.1, as Microsoft's on-behalf-of flow has it
)

// The values of Client.Auth (RFC 7591 section 2).
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// Exchange is how the caller's token is exchanged for one that is meant for the server.
type Exchange struct {
	Grant              string   `json:"grant"`
	URL                string   `json:"url"`    // the token endpoint
	Egress             string   `json:"egress"` // at which addresses it may be, as egress.Parse reads it
	Audience           string   `json:"audience,omitempty"`
	Resource           string   `json:"resource,omitempty"`
	Scopes             []string `json:"scopes,omitempty"`
	SubjectTokenType   string   `json:"subjectTokenType"`   // the last part of the URN: access_token, jwt
	RequestedTokenType string   `json:"requestedTokenType"` // likewise
	ActorTokenType     string   `json:"actorTokenType,omitempty"`
	Client             Client   `json:"client"`
	Header             string   `json:"header,omitempty"` // that takes the token; Authorization: Bearer where empty
}

// Client is who asks for the exchange.
type Client struct {
	ID       string `json:"id"`
	Auth     string `json:"auth"`
	Audience string `json:"audience,omitempty"` // of a private_key_jwt assertion; the token endpoint where empty
	KeyID    string `json:"keyID,omitempty"`    // of the private key, where its file does not say
}

// Header is a header with a secret or with a claim of the caller's token.
type Header struct {
	Name   string `json:"name"`
	Secret string `json:"secret,omitempty"` // key in the shim's store
	Claim  string `json:"claim,omitempty"`
}
