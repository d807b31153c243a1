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
	When      string    `yaml:"when" json:"when,omitempty"` // not built yet
}

// Subjects are the people a policy speaks of: any of those listed.
// "name" is a user or group of the default issuer, "issuer:name" of the issuer called so. A name that holds a colon
// itself is always written with its issuer in front.
type Subjects struct {
	Users  []string `yaml:"users" json:"users,omitempty"` // sub claims
	Groups []string `yaml:"groups" json:"groups,omitempty"`
	Anyone bool     `yaml:"anyone" json:"anyone,omitempty"` // everyone who is signed in, at any issuer
}
