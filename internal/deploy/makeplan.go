package deploy

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
)

// Options is what a plan needs besides the entry.
type Options struct {
	RulesKey ed25519.PublicKey     // verifies the rules
	Owner    *Owner                // for entries with an instance per user, and only for them
	Audit    *catalog.AuditSink    // where records go; nil: to standard output
	Sessions *catalog.SessionStore // for what outlives the pod of sessions that do; nil: it does not
	// Telemetry is the platform's: where the shim tells how it does.
	Telemetry catalog.Telemetry
}

// The names in plans that deployers and the shim meet again.
const (
	unitShim      = "shim"
	unitServer    = "server"
	socketServer  = "server"  // between the shim and the bridge
	SocketMetrics = "metrics" // where the shim's /metrics are: deployers keep the name, so that operators find it
	mountRules    = "rules"
	keySeal       = "seal"
	KeyOAuth      = "oauth"       // in the shim's store: the secret of the client that it is at our own authorization server
	keyAudit      = "audit-token" // in the shim's store: the token by which functions/audit knows the shim
	tokenAudit    = "audit"       // as servertoken has it, which links more than plans need
	mountAudit    = "audit"       // the folder of the socket where records go
	KeyGateway    = "gateway"     // in the shim's store, where the deployer of a cluster puts what gateway and shim share
)

// The shim's own needs. Its port is free in the pod: a server that wants the same one moves the shim.
const (
	shimPort      = 8080
	shimPortOther = 8081
)

var shimLimits = Resources{CPU: "1", Memory: "128Mi"}

// collectFrom is the variable that has a Go program collect its garbage in time for what it may use. An eighth is left for
// what Go's runtime does not count, such as the program itself (https://go.dev/doc/gc-guide#Memory_limit).
const collectFrom = "GOMEMLIMIT"

// MakePlan says what must run for entry s. It is pure: the same arguments give the same plan and hash. Of filters, those
// that s names are used. An error means that the entry is not one that the catalog's loader passes, or that the owner
// does not fit it.
func MakePlan(s catalog.Server, filters []catalog.Filter, o Options) (Plan, error) {
	p, err := makePlan(s, filters, o)
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: %w", s.ID, err)
	}
	return p, nil
}

func makePlan(s catalog.Server, filters []catalog.Filter, o Options) (Plan, error) {
	if err := checkEntry(s, o); err != nil {
		return Plan{}, err
	}
	p := Plan{
		Server: s.ID, Owner: o.Owner, Startup: time.Duration(s.Startup.Timeout),
		Scale: Scale{Idle: time.Duration(s.Scale.Idle), Max: s.Scale.Max, Concurrency: s.Scale.Concurrency},
	}
	if s.Instances.PerUser {
		p.Instances = s.Instances.Max
	}
	server, upstream, err := makeServer(s)
	if err != nil {
		return Plan{}, err
	}
	converters, err := makeConverters(s, filters)
	if err != nil {
		return Plan{}, err
	}
	p.Units = []Unit{makeShim(s, o, server, upstream, converters)}
	addOwnSecret(&p.Units[0], s, filters)
	if err := addEgress(&p.Units[0], s); err != nil {
		return Plan{}, err
	}
	if server != nil {
		p.Units = append(p.Units, *server)
	}
	p.Units = append(p.Units, converters...)
	p.Hash, err = p.hash()
	return p, err
}

func checkEntry(s catalog.Server, o Options) error {
	switch {
	case s.ID == "":
		return errors.New("the entry has no id")
	case len(o.RulesKey) != ed25519.PublicKeySize:
		return errors.New("the rules' key is not an Ed25519 public key")
	case s.Startup.Timeout <= 0 || s.Scale.Idle <= 0:
		return errors.New("startup.timeout and scale.idle must be positive")
	case s.Instances.PerUser && (o.Owner == nil || o.Owner.Issuer == "" || o.Owner.Subject == ""):
		return errors.New("every user has an own instance: an owner is needed")
	case !s.Instances.PerUser && o.Owner != nil:
		return errors.New("the instance is shared: it has no owner")
	}
	if o.Owner != nil {
		// Issuers choose subjects freely, and expanding one would make it another's.
		if err := checkText(o.Owner.Issuer + " " + o.Owner.Subject); err != nil {
			return err
		}
	}
	for _, key := range shimKeys(s) {
		if err := checkShimKey(key); err != nil {
			return err
		}
	}
	for _, h := range s.Headers {
		if err := checkHandedKey(h.Secret); err != nil {
			return err
		}
	}
	return errors.Join(checkAuditSink(s, o.Audit), checkSessionStore(o.Sessions))
}

// makeShim makes the unit that receives the traffic. Where idle time ends the group is the deployer's to say: in a
// cluster the autoscaler knows, with processes the shim is told (see Scale).
func makeShim(s catalog.Server, o Options, server *Unit, upstream string, converters []Unit) Unit {
	u := Unit{
		Name: unitShim, Role: RoleShim, Image: ImageShim, Command: []string{shimProgram, "proxy"},
		Env: []EnvVar{
			{"SHIM_SERVER", s.ID},
			{"SHIM_LISTEN", listen},
			{"SHIM_UPSTREAM", upstream},
			{"SHIM_RULES", "{mount:" + mountRules + "}"},
			{"SHIM_RULES_KEY", base64.StdEncoding.EncodeToString(o.RulesKey)},
			{"SHIM_STARTUP", time.Duration(s.Startup.Timeout).String()},
			{"SHIM_SESSIONS", s.Sessions},
			{collectFrom, "112MiB"},
		},
		Secrets: []Secret{{Store: shimStore(s), Key: keySeal, File: "SHIM_SEAL_KEY_FILE", Generate: true}},
		Port:    shimPort,
		Mounts:  []Mount{{Name: mountRules, File: "rules"}},
		Limits:  shimLimits,
		Probe:   Probe{Path: "/readyz"},
	}
	if server != nil {
		u.Sockets = append(u.Sockets, server.Sockets...)
		if server.Port == shimPort {
			u.Port = shimPortOther
		}
	}
	if o.Owner != nil {
		u.Env = append(u.Env, EnvVar{"SHIM_OWNER_ISSUER", o.Owner.Issuer}, EnvVar{"SHIM_OWNER_SUBJECT", o.Owner.Subject})
	}
	addAudit(&u, s, o.Audit)
	addSessions(&u, s, o.Sessions)
	addLists(&u, s)
	addSecrets(&u, s)
	if t := o.Telemetry; t.Collector != "" {
		u.Env = append(u.Env, EnvVar{"SHIM_COLLECTOR", t.Collector}, EnvVar{"SHIM_SAMPLE_PERCENT", strconv.Itoa(t.Percent)})
	}
	if o.Telemetry.Scrape {
		u.Sockets = append(u.Sockets, SocketMetrics)
		u.Env = append(u.Env, EnvVar{"SHIM_METRICS", "unix:{socket:" + SocketMetrics + "}"})
	}
	var sockets []string
	for _, c := range converters {
		u.Sockets = append(u.Sockets, c.Sockets...)
		sockets = append(sockets, strings.TrimPrefix(c.Name, filterPrefix)+"={socket:"+c.Name+"}")
	}
	if sockets != nil {
		u.Env = append(u.Env, EnvVar{"SHIM_FILTERS", strings.Join(sockets, ",")})
	}
	return u
}

// PackageOf is what entry s runs from a registry; nil where it runs something else.
func PackageOf(s catalog.Server) *Package {
	switch r := s.Runtime; {
	case r.NPX != nil:
		return &Package{Registry: RegistryNPM, Name: r.NPX.Package}
	case r.UVX != nil:
		return &Package{Registry: RegistryPyPI, Name: r.UVX.Package}
	default:
		return nil
	}
}

// addEgress tells the shim that its server runs elsewhere, and where that may be.
func addEgress(shim *Unit, s catalog.Server) error {
	if s.Runtime.Remote == nil {
		return nil
	}
	rules, err := s.EgressRules()
	shim.Env = append(shim.Env, EnvVar{"SHIM_EGRESS", egress.Format(rules)})
	return err
}

// makeServer makes the unit of the MCP server, none where it runs elsewhere, and says where the shim finds it.
func makeServer(s catalog.Server) (*Unit, string, error) {
	u := &Unit{
		Name: unitServer, Role: RoleServer, Package: PackageOf(s),
		Limits: Resources{CPU: s.Resources.CPU, Memory: s.Resources.Memory},
	}
	path, r := "", s.Runtime
	var words []string // the operator's part of the command
	switch {
	case r.NPX != nil:
		words, u.Image = r.NPX.Args, ImageNode
		bridge(u, s.Stdio, append([]string{packageProgram}, words...))
	case r.UVX != nil:
		words, u.Image = r.UVX.Args, ImagePython
		bridge(u, s.Stdio, append([]string{packageProgram}, words...))
	case r.Command != nil:
		words = append([]string{r.Command.Exec}, r.Command.Args...)
		if r.Command.HTTP == nil {
			bridge(u, s.Stdio, words)
			break
		}
		u.Port, u.Command, path = PortAny, words, r.Command.HTTP.Path
		u.Env = []EnvVar{{"PORT", ownPort}}
	case r.Container != nil:
		u.Image, u.ImagePullSecret, u.Args = r.Container.Image, r.Container.ImagePullSecret, r.Container.Args
		words, u.Port, path = u.Args, r.Container.Port, r.Container.Path
	case r.Remote != nil:
		if len(s.Env) > 0 {
			return nil, "", errors.New("a remote server's environment is not ours to set")
		}
		return nil, r.Remote.URL, checkText(r.Remote.URL)
	default:
		return nil, "", errors.New("the entry has no runtime")
	}
	upstream := "unix:{socket:" + socketServer + "}"
	if u.Port != 0 {
		upstream = "http://127.0.0.1:{port:" + unitServer + "}" + cmp.Or(path, "/mcp")
	}
	err := errors.Join(checkText(path), checkWords(u, words), addEnv(u, s.Env, "mcp-"+s.ID+"-server"))
	return u, upstream, err
}

// bridge makes u the bridge that turns a stdio program into an HTTP server on a socket between it and the shim.
func bridge(u *Unit, stdio *catalog.Stdio, program []string) {
	u.Command = append([]string{shimProgram, "bridge", "--"}, program...)
	u.Sockets = []string{socketServer}
	u.Env = []EnvVar{{"SHIM_LISTEN", "unix:{socket:" + socketServer + "}"}}
	if stdio != nil {
		u.Env = append(u.Env, EnvVar{"SHIM_CHILD", stdio.Child}, EnvVar{"SHIM_CHILD_MAX", strconv.Itoa(stdio.Max)})
	}
}

// checkWords refuses placeholders in the operator's part of a command, but for {port} where there is one to choose.
func checkWords(u *Unit, words []string) error {
	for _, word := range words {
		if err := checkText(word, choosable(u)...); err != nil {
			return fmt.Errorf("runtime: %w", err)
		}
	}
	return nil
}

// addEnv adds the entry's variables to its server.
func addEnv(u *Unit, env []catalog.EnvVar, store string) error {
	for _, v := range env {
		if strings.HasPrefix(v.Name, "SHIM_") || v.Name == "PORT" && u.Port == PortAny {
			return fmt.Errorf("env %s: PORT and names that begin with SHIM_ are set by the gateway", v.Name)
		}
		if v.Secret != nil {
			u.Secrets = append(u.Secrets, Secret{Store: store, Key: v.Secret.Key, Env: v.Name})
			continue
		}
		if err := checkText(v.Value, choosable(u)...); err != nil {
			return fmt.Errorf("env %s: %w", v.Name, err)
		}
		u.Env = append(u.Env, EnvVar{v.Name, v.Value})
	}
	return nil
}

func choosable(u *Unit) []string {
	if u.Port == PortAny {
		return []string{ownPort}
	}
	return nil
}

// checkShimKey keeps operators' names off the keys that seal session ids and tokens: a filter or a server must never be given it.
func checkShimKey(key *catalog.SecretKey) error {
	if key != nil && (key.Key == keySeal || key.Key == KeyGateway || key.Key == keySessions || key.Key == keyAudit) {
		return fmt.Errorf("the key %q of the shim's store is the gateway's own", key.Key)
	}
	return nil
}

// checkHandedKey keeps what others are given off the shim's own credential too.
func checkHandedKey(key *catalog.SecretKey) error {
	if key != nil && key.Key == KeyOAuth {
		return fmt.Errorf("the key %q of the shim's store is the shim's own: give what others are sent another name", key.Key)
	}
	return checkShimKey(key)
}

func shimStore(s catalog.Server) string { return "mcp-" + s.ID + "-shim" }
