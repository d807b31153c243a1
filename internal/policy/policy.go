// Package policy decides which identity may use which server, method, tool, prompt and resource.
//
// Deny wins, and what no policy allows is refused. The gateway asks only for admission (could any allow match?);
// the shim decides each message. The package reads no tokens and no bytes from the network.
package policy

// Policy is one rule of the catalog. Exactly one of Allow and Deny is set.
//
// A policy that lists none of Tools, Prompts, Resources and Methods speaks of all tools, prompts and resources of its
// servers, but of no method outside the method table: those must be named in Methods. A policy that lists some of
// them speaks only of these.
//
// Methods is read in the way that refuses more. In an allow it speaks only of methods outside the method table, so
// that `methods: ["*"]` never opens a tool. In a deny it speaks of every method, and one that lists nothing at all
// shuts its servers entirely.
type Policy struct {
	Name      string    `yaml:"name" json:"name"`
	Allow     *Subjects `yaml:"allow" json:"allow,omitempty"`
	Deny      *Subjects `yaml:"deny" json:"deny,omitempty"`
	Servers   []string  `yaml:"servers" json:"servers"` // ids, globs
	Tools     []string  `yaml:"tools" json:"tools,omitempty"`
	Prompts   []string  `yaml:"prompts" json:"prompts,omitempty"`
	Resources []string  `yaml:"resources" json:"resources,omitempty"` // URIs, globs
	Methods   []string  `yaml:"methods" json:"methods,omitempty"`
	// When is a condition in CEL (cel.dev) of which the result is true or false; it must hold for the policy to match:
	// `args.base == "main"`. It may read user.issuer, user.subject, user.client (text), user.groups, user.scopes (lists);
	// server.id; mcp.method, mcp.era ("legacy", "modern"), mcp.tool, mcp.prompt, mcp.uri (text, empty where the message
	// names no such thing); args, the arguments of tools/call and prompts/get by name; and now, a timestamp. An allow
	// whose condition fails, as by an argument that is not there, does not match; a deny whose condition fails refuses:
	// `has(args.base) && ...` guards against that. Lists show what may be allowed with some arguments.
	When string `yaml:"when" json:"when,omitempty"`
	// Scopes are what the token must hold besides for an allow to match, all of them. A token that lacks some is refused
	// in a way that makes clients ask for one that has them.
	Scopes []string `yaml:"scopes" json:"scopes,omitempty"`
	// Program is When, parsed and checked by whoever makes the rules of a shim.
	Program []byte `yaml:"-" json:"program,omitempty"`
}

// Subjects are the people a policy speaks of: any of those listed.
// "name" is a user or group of the default issuer, "issuer:name" of the issuer called so. A name that holds a colon
// itself is always written with its issuer in front.
type Subjects struct {
	Users  []string `yaml:"users" json:"users,omitempty"` // sub claims
	Groups []string `yaml:"groups" json:"groups,omitempty"`
	Anyone bool     `yaml:"anyone" json:"anyone,omitempty"` // everyone who is signed in, at any issuer
}
