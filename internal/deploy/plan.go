// Package deploy says what must run for a server, without saying on what.
//
// MakePlan is the one pure function from a catalog entry to a Plan; every deployer (processes, Docker, Knative) only
// translates the Plan, and all pass the same suite (package deploytest). MakeRules makes what changes without a restart.
// Client is how the gateway asks the deployer beside it. The package starts nothing and reads no secret.
package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Plan is everything that must run for one server, or for one user's instance of it.
type Plan struct {
	Server string `json:"server"`
	Owner  *Owner `json:"owner,omitempty"` // whose instance it is; nil where it is shared
	Hash   string `json:"hash"`            // of what runs (everything else but Instances): a new hash is a new revision
	Units  []Unit `json:"units"`
	Scale  Scale  `json:"scale"`
	// Startup is how long a wake may take.
	Startup time.Duration `json:"startup"`
	// Instances is how many instances of Server may be up at once, whoever owns them; 0 is no limit. A per-user
	// entry's own. It says nothing about what runs, so Hash leaves it out: raising it must not restart anybody.
	Instances int `json:"instances,omitempty"`
}

// Owner is the only identity that a per-user instance serves.
type Owner struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// Role says what a unit is for, and so what it may hold.
type Role string

// The roles.
const (
	RoleShim   Role = "shim"   // receives the traffic; alone holds the shim's secrets
	RoleServer Role = "server" // the MCP server, or the bridge with it
	RoleFilter Role = "filter" // a webhook converter
)

// The images that deployers map to references of their own. A unit without Image is a program of this machine: only
// a deployer of processes can run it.
const (
	ImageShim   = "shim"   // the shim alone
	ImageNode   = "node"   // the shim, and what packages of npm need
	ImagePython = "python" // the shim, and what packages of PyPI need
)

// Where images of ours have what deployers start, and who runs it. A base image has no such folder, so that nothing of it is
// hidden.
const (
	ImageShimPath    = "/mcp/shim"
	ImageProgramPath = "/mcp/program" // a link to the package's program
	ImageUser        = 65532          // and the group of that number
)

// The registries that packages come from.
const (
	RegistryNPM  = "npm"
	RegistryPyPI = "pypi"
)

// Package is a program that a registry has. It can be compared and can index a map.
type Package struct {
	Registry string `json:"registry"` // RegistryNPM | RegistryPyPI
	Name     string `json:"name"`     // with its exact version: @scope/name@1.2.3, or name==1.2.3
}

// Need is what a server needs before it can start: a package, or an image.
type Need struct {
	Server  string
	Package Package // the zero one where it is an image
	Image   string
}

// Unit is one container or process.
type Unit struct {
	Name  string `json:"name"` // unique in the plan: shim, server, filter-pii
	Role  Role   `json:"role"`
	Image string `json:"image,omitempty"` // a reference; or one of the Image… names that deployers map
	// ImagePullSecret names the registry credentials for Image.
	ImagePullSecret string `json:"imagePullSecret,omitempty"`
	// Package is what the unit needs besides its image. The deployer has it installed before the unit starts, or its
	// image holds it; {package} in Command is its program.
	Package *Package `json:"package,omitempty"`
	// Command is program and arguments, with placeholders that the deployer fills in (see Expand).
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"` // arguments for the image's own program, where Command is empty
	Env     []EnvVar `json:"env,omitempty"`
	Secrets []Secret `json:"secrets,omitempty"`
	Sockets []string `json:"sockets,omitempty"` // names of socket volumes this unit mounts; only units that name one see it
	// Port is the TCP port it serves on; PortAny: the deployer chooses; 0: none. Deployers without a network namespace
	// for each group give the shim a Unix socket instead of its port.
	Port   int       `json:"port,omitempty"`
	Mounts []Mount   `json:"mounts,omitempty"`
	Limits Resources `json:"limits"`
	Probe  Probe     `json:"probe"`
}

// PortAny asks the deployer to choose a TCP port.
const PortAny = -1

// EnvVar is a plain variable. Values take the same placeholders as Command.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Secret gives one unit one value of a store of the entry. Only the reference stands here, never the value.
type Secret struct {
	Store string `json:"store"`          // mcp-<id>-shim or mcp-<id>-server
	Key   string `json:"key"`            // key in the store
	Env   string `json:"env,omitempty"`  // as an environment variable (servers, which know no other way)
	File  string `json:"file,omitempty"` // as a file or inherited descriptor; the unit finds its path in this variable
	// Generate has the deployer make 32 random bytes where the store has no such key.
	Generate bool `json:"generate,omitempty"`
	// Token names the function of ours to which the deployer makes the server's token (package servertoken). No operator chooses it.
	Token string `json:"token,omitempty"`
	// Shared has the deployer make the server's part of the key that gateway and deployer share. In a cluster every shim has it.
	Shared bool `json:"shared,omitempty"`
}

// Mount is a file that changes while the unit runs.
type Mount struct {
	Name string `json:"name"` // "rules"
	File string `json:"file"` // file name inside the mount
	// From is its folder on this machine, for a file that others make and that may not be there yet; else the deployer knows.
	From string `json:"from,omitempty"`
}

// Resources are upper limits, in Kubernetes quantities; empty means none.
type Resources struct {
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

// Probe says when a unit is ready: an HTTP path that answers 200 on the unit's port. Without path, the unit is not asked.
type Probe struct {
	Path string `json:"path,omitempty"`
}

// Scale is when the group sleeps and how far it grows. Where nothing outside the group can tell that it is idle, as
// with processes, the deployer gives Idle to the shim (SHIM_IDLE), which ends the group by exiting.
type Scale struct {
	Idle        time.Duration `json:"idle"`
	Max         int           `json:"max"`
	Concurrency int           `json:"concurrency"`
}

// Key names the instance that the plan is for.
func (p Plan) Key() Key { return Key{Server: p.Server, Owner: p.Owner} }

// hash returns 128 bits of SHA-256 in hex, short enough for a Kubernetes label.
func (p Plan) hash() (string, error) {
	p.Hash, p.Instances = "", 0
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}
