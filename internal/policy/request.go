package policy

// Kind is a kind of primitive that a server offers.
type Kind uint8

// The kinds.
const (
	KindNone Kind = iota
	KindTool
	KindPrompt
	KindResource
	kinds // how many there are
)

// MaxURIs is how many resources one request may name in More: each costs a decision of its own.
const MaxURIs = 1000

// Request is what Decide must know of one message from a client.
type Request struct {
	Server string // id in the catalog
	Method string
	// Response marks an answer to a request of the server's own: it has no method. (An empty Method alone does not:
	// a client may send that.)
	Response bool
	// Kind says what completion/complete refers to: KindPrompt for ref/prompt, KindResource for ref/resource. The
	// kind that any other method names follows from the method.
	Kind Kind
	// Name is params.name of tools/call and prompts/get, params.uri of resources/*, ref.name or ref.uri of
	// completion/complete.
	Name string
	// Era is that of the request, for conditions: legacy or modern.
	Era string
	// Arguments is the JSON object of params.arguments, for conditions; nil where there is none.
	Arguments []byte
	// More holds the resource URIs of subscriptions/listen, MaxURIs at most.
	More []string
}

// Decision is the answer to a Request. The zero value refuses.
type Decision struct {
	Allow bool
	// Policy is the name of the policy that decided, for the log; empty where nothing matched.
	Policy string
	// Scope lists, with spaces between, what the token must hold: set where it would have been allowed but for that.
	Scope string
	// Fault is what kept conditions from being decided, for the log and never for the caller.
	Fault error
}
