// Package catalog reads the two documents an operator writes: the platform (where and how the gateway is offered)
// and the catalog (which servers, filters and policies exist).
//
// Reading is strict: every problem is reported at once, with file and line; unknown fields and fields that are not
// built yet are refused. The package starts nothing and resolves no secret.
package catalog

import (
	"slices"

	"mcpgateway/internal/policy"
)

// Catalog is the single source of what exists.
type Catalog struct {
	APIVersion string          `yaml:"apiVersion"`
	Servers    []Server        `yaml:"servers"`
	Filters    []Filter        `yaml:"filters"`
	Policies   []policy.Policy `yaml:"policies"`
}

// Server returns the entry with that id. It stands in the catalog itself and must not be changed.
func (c *Catalog) Server(id string) (*Server, bool) {
	for i := range c.Servers {
		if c.Servers[i].ID == id {
			return &c.Servers[i], true
		}
	}
	return nil, false
}

// FiltersBy tells whether asked is a filter of an entry's.
func (c *Catalog) FiltersBy(server, asked string) bool {
	s, ok := c.Server(server)
	return ok && asked != "" && slices.ContainsFunc(c.Filters, func(f Filter) bool { return f.Server == asked && slices.Contains(s.Filters, f.Name) })
}

// Server is one MCP server that people can connect to as /mcp-connect/{ID}.
type Server struct {
	ID          string    `yaml:"id"` // DNS label (RFC 1123)
	Title       string    `yaml:"title"`
	Description string    `yaml:"description"`
	Runtime     Runtime   `yaml:"runtime"`
	Stdio       *Stdio    `yaml:"stdio"`
	Env         []EnvVar  `yaml:"env"`
	Instances   Instances `yaml:"instances"`
	Scale       Scale     `yaml:"scale"`
	Sessions    string    `yaml:"sessions"`  // survive | strict | none; survive where empty
	Listen      string    `yaml:"listen"`    // off | poll | hold; poll where empty. Only a gateway on Lambda tells the last two apart
	Discovery   string    `yaml:"discovery"` // live | cached; live where empty
	Startup     Startup   `yaml:"startup"`
	Resources   Resources `yaml:"resources"`
	Egress      []Egress  `yaml:"egress"`
	Token       *Token    `yaml:"token"`
	Headers     []Header  `yaml:"headers"`
	Filters     []string  `yaml:"filters"`
	Audit       Audit     `yaml:"audit"`
}

// Runtime says how the server's program is had. Exactly one field is set.
type Runtime struct {
	NPX       *Package   `yaml:"npx"`
	UVX       *Package   `yaml:"uvx"`
	Container *Container `yaml:"container"`
	Remote    *Remote    `yaml:"remote"`
	Command   *Command   `yaml:"command"`
}

// Package is a program from the npm registry (npx) or PyPI (uvx) that speaks MCP over stdio.
type Package struct {
	Package string   `yaml:"package"` // name@version (npx), name==version (uvx): pinned
	Args    []string `yaml:"args"`
}

// Container is an image whose server speaks streamable HTTP on Port at Path.
type Container struct {
	Image           string   `yaml:"image"`
	Port            int      `yaml:"port"`
	Path            string   `yaml:"path"` // "/mcp" where empty
	Args            []string `yaml:"args"`
	ImagePullSecret string   `yaml:"imagePullSecret"`
}

// Remote is a server that runs elsewhere. Plain http is for addresses that Egress names, none of them public.
type Remote struct {
	URL string `yaml:"url"`
}

// Command is a program on this machine, for local use only. With HTTP it speaks streamable HTTP, without it stdio.
type Command struct {
	Exec string   `yaml:"exec"` // a path, relative ones to the catalog file; or a name in PATH
	Args []string `yaml:"args"` // "{port}" in an argument is replaced by the port to listen on
	HTTP *HTTP    `yaml:"http"`
}

// HTTP is how a local command serves streamable HTTP: on 127.0.0.1, at the port in "{port}" and the variable PORT.
type HTTP struct {
	Path string `yaml:"path"` // "/mcp" where empty
}

// Stdio says how callers share the processes of a stdio server.
type Stdio struct {
	Child string `yaml:"child"` // session | shared; session where empty
	Max   int    `yaml:"max"`   // processes at once where each session has its own, default 8
}

// EnvVar is a variable of the server's environment: a value, or a key of the entry's own secret store.
type EnvVar struct {
	Name   string     `yaml:"name"`
	Value  string     `yaml:"value"`
	Secret *SecretKey `yaml:"secret"`
}

// SecretKey names a value in the entry's own store: Secret mcp-<id>-server, or secrets/<id>-server/<key> locally.
type SecretKey struct {
	Key string `yaml:"key"`
}

// Scale says when the server sleeps and how far it grows.
type Scale struct {
	Idle        Duration `yaml:"idle"`        // without a call in flight, default 60s
	Max         int      `yaml:"max"`         // copies of an instance, default 1
	Concurrency int      `yaml:"concurrency"` // calls at once in a copy, default 100
}

// Startup bounds how long a wake may take.
type Startup struct {
	Timeout Duration `yaml:"timeout"` // default 60s
}

// Resources are the limits of the server's container, in Kubernetes quantities. Deployers of containers enforce them;
// the process deployer does not.
type Resources struct {
	CPU    string `yaml:"cpu"`
	Memory string `yaml:"memory"`
}

// Egress is a network and its TCP ports. For a remote server it says where that may be, and its shim holds to it: without,
// at any public address and the URL's port. A private, loopback or other special address is named by a network inside
// its range. For a server that runs in a cluster it is what it may reach, and the cluster's network holds it to that: without,
// nothing but names.
type Egress struct {
	CIDR  string `yaml:"cidr"`
	Ports []int  `yaml:"ports"`
}

// Filter is a check that the shim runs on messages.
type Filter struct {
	Name    string     `yaml:"name"`
	Webhook *Webhook   `yaml:"webhook"`
	MCP     *MCPFilter `yaml:"mcp"`
	Server  string     `yaml:"server"`  // a server of this catalog, which the shim calls through the gateway, with a token of its own
	Tool    string     `yaml:"tool"`    // of server, default filter
	Egress  []Egress   `yaml:"egress"`  // with server: where the gateway and oauth.url are, as for a remote server
	On      []string   `yaml:"on"`      // selectors: method[?name=PATTERN][&direction=request|response]
	Mutate  bool       `yaml:"mutate"`  // whether it may change messages
	Timeout Duration   `yaml:"timeout"` // of one check, retries included; default 2s
	OnError string     `yaml:"onError"` // reject | accept; reject where empty
}

// Webhook is an HTTP endpoint that is turned into a filter server.
type Webhook struct {
	URL    string     `yaml:"url"`
	Secret *SecretKey `yaml:"secret"` // of the store of each server that names the filter; signs what is sent
	Egress []Egress   `yaml:"egress"` // where it may be, as for a remote server
}

// MCPFilter is a tool of an MCP server that speaks the filter contract.
type MCPFilter struct {
	URL    string   `yaml:"url"`
	Tool   string   `yaml:"tool"`
	Egress []Egress `yaml:"egress"` // where it may be, as for a remote server
}

// Audit says what of an exchange is kept: who called what, and what became of it; with metadata also headers, none of
// them a credential; with full also the bodies.
type Audit struct {
	Bodies   string   `yaml:"bodies"`   // none | metadata | full; metadata where empty
	MaxBody  int      `yaml:"maxBody"`  // bytes that are kept of each body, default 65536
	Redact   []string `yaml:"redact"`   // what is taken out of bodies: $.params.arguments.password, $..token
	Required bool     `yaml:"required"` // no answer before the platform's audit sink has its record
}
