package deploy

import (
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	alice   = &Owner{Issuer: "https://login.example.com", Subject: "alice"}
)

// runtimes has an entry of every kind, each with all that its kind can have.
var runtimes = map[string]catalog.Runtime{
	"npx":           {NPX: &catalog.Package{Package: "@modelcontextprotocol/server-github@2025.4.8", Args: []string{"--read-only"}}},
	"uvx":           {UVX: &catalog.Package{Package: "mcp-server-git[all]==2025.1.14", Args: []string{"--repository", "/data"}}},
	"container":     {Container: &catalog.Container{Image: "example.com/server:1.2", Port: 8080, Path: "/v1/mcp", Args: []string{"-v"}, ImagePullSecret: "registry"}},
	"remote":        {Remote: &catalog.Remote{URL: "https://mcp.example.net/mcp"}},
	"command-http":  {Command: &catalog.Command{Exec: "/opt/server", Args: []string{"-listen", "127.0.0.1:{port}"}, HTTP: &catalog.HTTP{}}},
	"command-stdio": {Command: &catalog.Command{Exec: "/opt/server", Args: []string{"stdio"}}},
}

var instances = map[string]catalog.Instances{
	"shared": {},
	"user":   {PerUser: true, Max: 500, IdleDelete: catalog.Duration(720 * time.Hour)},
}

var testFilters = []catalog.Filter{
	{Name: "pii", Webhook: &catalog.Webhook{URL: "https://pii.example.com/check", Secret: &catalog.SecretKey{Key: "pii"},
		Egress: []catalog.Egress{{CIDR: "10.0.0.0/8", Ports: []int{443}}}}, Mutate: true, Timeout: catalog.Duration(2 * time.Second)},
	{Name: "open", Webhook: &catalog.Webhook{URL: "https://open.example.com/check"}, Timeout: catalog.Duration(time.Second)},
	{Name: "tool", MCP: &catalog.MCPFilter{URL: "https://filters.example.com/mcp", Tool: "check"}},
	{Name: "other", Server: "checker"},
}

// filters has every kind; those of "elsewhere" need no unit.
var filters = map[string][]string{"none": nil, "webhook": {"pii", "open"}, "elsewhere": {"tool", "other"}}

func entry(runtime, instance, filter string) catalog.Server {
	s := catalog.Server{
		ID: "github", Title: "GitHub", Runtime: runtimes[runtime], Instances: instances[instance], Filters: filters[filter],
		Scale:     catalog.Scale{Idle: catalog.Duration(time.Minute), Max: 1, Concurrency: 100},
		Startup:   catalog.Startup{Timeout: catalog.Duration(30 * time.Second)},
		Resources: catalog.Resources{CPU: "500m", Memory: "256Mi"},
		Token:     &catalog.Token{Exchange: &catalog.Exchange{Grant: "token-exchange"}},
	}
	s.Token.Exchange.Client.Secret = &catalog.SecretKey{Key: "exchange"}
	if runtime != "remote" {
		s.Env = []catalog.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "GITHUB_TOKEN", Secret: &catalog.SecretKey{Key: "token"}}}
	}
	if runtime == "npx" || runtime == "uvx" || runtime == "command-stdio" {
		s.Stdio = &catalog.Stdio{Child: "session", Max: 8}
	}
	return s
}

func options(instance string) Options {
	o := Options{RulesKey: testKey}
	if instance == "user" {
		o.Owner = alice
	}
	return o
}

// each calls f with the plan of every runtime, instances and filters.
func each(t *testing.T, f func(t *testing.T, name string, p Plan)) {
	for runtime := range runtimes {
		for instance := range instances {
			for filter := range filters {
				name := runtime + "." + instance + "." + filter
				t.Run(name, func(t *testing.T) {
					p, err := MakePlan(entry(runtime, instance, filter), testFilters, options(instance))
					if err != nil {
						t.Fatal(err)
					}
					f(t, name, p)
				})
			}
		}
	}
}

func TestMakePlanGolden(t *testing.T) {
	each(t, func(t *testing.T, name string, p Plan) {
		got, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "plans", name+".json")
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v (go test -update writes it)", err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("plan differs (-golden +made; go test -update accepts it):\n%s", diff)
		}
		var back Plan
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("the plan does not survive JSON:\n%s", diff)
		}
	})
}

// Our own programs collect their garbage at seven eighths of what their container may use: one that is told more than it
// has would be killed.
func TestMemoryIsCollectedInTime(t *testing.T) {
	each(t, func(t *testing.T, _ string, p Plan) {
		for _, u := range p.Units {
			if u.Role == RoleServer {
				continue // the whole of it is the server's
			}
			var limit, target int
			i := slices.IndexFunc(u.Env, func(e EnvVar) bool { return e.Name == collectFrom })
			if i < 0 {
				t.Fatalf("%s is told nothing", u.Name)
			}
			_, err := fmt.Sscanf(u.Limits.Memory+" "+u.Env[i].Value, "%dMi %dMiB", &limit, &target)
			if err != nil || target*8 != limit*7 {
				t.Errorf("%s may use %s, and is told %s", u.Name, u.Limits.Memory, u.Env[i].Value)
			}
		}
	})
}

// TestSecretsStayWithTheirUnit is the rule the golden files must never be updated against.
func TestSecretsStayWithTheirUnit(t *testing.T) {
	want := map[Role][]Secret{
		RoleShim: {
			{Store: "mcp-github-shim", Key: "seal", File: "SHIM_SEAL_KEY_FILE", Generate: true},
			{Store: "mcp-github-shim", Key: "exchange", File: "SHIM_EXCHANGE_SECRET_FILE"},
		},
		RoleServer: {{Store: "mcp-github-server", Key: "token", Env: "GITHUB_TOKEN"}},
	}
	each(t, func(t *testing.T, name string, p Plan) {
		for _, u := range p.Units {
			allowed := want[u.Role]
			if u.Role == RoleShim && strings.HasSuffix(name, ".elsewhere") { // a filter among them is a server of the catalog
				allowed = append(slices.Clone(allowed), Secret{Store: "mcp-github-shim", Key: "oauth", File: "SHIM_OAUTH_SECRET_FILE"})
			}
			if u.Name == "filter-pii" {
				allowed = []Secret{{Store: "mcp-github-shim", Key: "pii", File: "SHIM_WEBHOOK_SECRET_FILE"}}
			}
			if diff := cmp.Diff(allowed, u.Secrets); diff != "" {
				t.Errorf("unit %s holds other secrets:\n%s", u.Name, diff)
			}
		}
	})
}

// TestSocketsAreBetweenTwo proves that no volume is seen by more than the shim and the one it speaks to.
func TestSocketsAreBetweenTwo(t *testing.T) {
	each(t, func(t *testing.T, name string, p Plan) {
		users := map[string][]string{}
		for _, u := range p.Units {
			for _, s := range u.Sockets {
				users[s] = append(users[s], u.Name)
			}
		}
		for socket, units := range users {
			if diff := cmp.Diff([]string{"shim", socket}, units); diff != "" {
				t.Errorf("socket %s is mounted by others:\n%s", socket, diff)
			}
		}
	})
}

func TestShimMovesOffTheServersPort(t *testing.T) {
	for port, want := range map[int]int{8080: 8081, 8081: 8080, 3000: 8080} {
		s := entry("container", "shared", "none")
		s.Runtime.Container = &catalog.Container{Image: "x", Port: port}
		p, err := MakePlan(s, nil, options("shared"))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Units[0].Port; got != want {
			t.Errorf("server on %d: shim on %d, want %d", port, got, want)
		}
	}
}

// What egress names reaches the shim, and the shim reads what is written.
func TestRemoteEgress(t *testing.T) {
	s := entry("remote", "shared", "none")
	s.Egress = []catalog.Egress{{CIDR: "140.82.112.0/20", Ports: []int{443, 8443}}, {CIDR: "fd00::/8", Ports: []int{1}}}
	p, err := MakePlan(s, nil, options("shared"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "140.82.112.0/20 443 8443, fd00::/8 1"
	if !slices.Contains(p.Units[0].Env, EnvVar{"SHIM_EGRESS", want}) {
		t.Errorf("the shim is told %v", p.Units[0].Env)
	}
	if rules, err := egress.Parse(want); err != nil || len(rules) != 2 {
		t.Errorf("%v, %v", rules, err)
	}
}

// Where the platform is measured, the shim is told whom to tell, and has a socket that no other unit sees.
func TestTelemetry(t *testing.T) {
	o := options("shared")
	o.Telemetry = catalog.Telemetry{Collector: "http://collector:4318", Percent: 5, Scrape: true}
	p, err := MakePlan(entry("npx", "shared", "none"), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []EnvVar{{"SHIM_COLLECTOR", "http://collector:4318"}, {"SHIM_SAMPLE_PERCENT", "5"}, {"SHIM_METRICS", "unix:{socket:metrics}"}} {
		if !slices.Contains(p.Units[0].Env, want) {
			t.Errorf("the shim is not told %v", want)
		}
	}
	for _, u := range p.Units {
		if slices.Contains(u.Sockets, "metrics") != (u.Role == RoleShim) {
			t.Errorf("%s sees %v", u.Name, u.Sockets)
		}
	}
}

func TestHash(t *testing.T) {
	base := entry("npx", "user", "webhook")
	hash := func(s catalog.Server, o Options) string {
		t.Helper()
		p, err := MakePlan(s, testFilters, o)
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash
	}
	want := hash(base, options("user"))
	same := base
	same.Title, same.Description, same.Instances.Max = "Other", "text", 501
	if got := hash(same, options("user")); got != want {
		t.Error("the hash depends on what does not run")
	}
	seen := map[string]string{want: "base"}
	differ := func(name string, s catalog.Server, o Options) {
		t.Helper()
		got := hash(s, o)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[got] = name
	}
	change := base
	change.Env = append([]catalog.EnvVar{{Name: "A", Value: "b"}}, base.Env...)
	differ("env", change, options("user"))
	change = base
	change.Scale.Idle++
	differ("idle", change, options("user"))
	change = base
	change.Startup.Timeout++
	differ("startup", change, options("user"))
	change = base
	change.Filters = nil
	differ("filters", change, options("user"))
	differ("owner", base, Options{RulesKey: testKey, Owner: &Owner{Issuer: alice.Issuer, Subject: "bob"}})
	differ("rules key", base, Options{RulesKey: make(ed25519.PublicKey, ed25519.PublicKeySize), Owner: alice})
}

func TestMakePlanRefuses(t *testing.T) {
	type change func(*catalog.Server, *Options)
	for name, c := range map[string]struct {
		change change
		want   string
	}{
		"no id":         {func(s *catalog.Server, o *Options) { s.ID = "" }, "no id"},
		"no key":        {func(s *catalog.Server, o *Options) { o.RulesKey = nil }, "rules' key"},
		"no idle time":  {func(s *catalog.Server, o *Options) { s.Scale.Idle = 0 }, "must be positive"},
		"no startup":    {func(s *catalog.Server, o *Options) { s.Startup.Timeout = 0 }, "must be positive"},
		"no runtime":    {func(s *catalog.Server, o *Options) { s.Runtime = catalog.Runtime{} }, "no runtime"},
		"owner missing": {func(s *catalog.Server, o *Options) { s.Instances.PerUser = true }, "an owner is needed"},
		"half an owner": {func(s *catalog.Server, o *Options) {
			s.Instances.PerUser, o.Owner = true, &Owner{Subject: "alice"}
		}, "an owner is needed"},
		"owner of a shared one": {func(s *catalog.Server, o *Options) { o.Owner = alice }, "it has no owner"},
		"owner with placeholder": {func(s *catalog.Server, o *Options) {
			s.Instances.PerUser, o.Owner = true, &Owner{Issuer: "https://login.example.com", Subject: "{port:server}"}
		}, "{port:server} is not for"},
		"filter unknown":             {func(s *catalog.Server, o *Options) { s.Filters = []string{"nope"} }, "filter nope is not in the catalog"},
		"filter with the seal":       {func(s *catalog.Server, o *Options) { s.Filters = []string{"thief"} }, "the gateway's own"},
		"filter with the shim's own": {func(s *catalog.Server, o *Options) { s.Filters = []string{"spy"} }, "the shim's own"},
		"header with the shim's own": {func(s *catalog.Server, o *Options) {
			s.Headers = []catalog.Header{{Name: "X-Key", Secret: &catalog.SecretKey{Key: "oauth"}}}
		}, "the shim's own"},
		"exchange with the seal": {func(s *catalog.Server, o *Options) {
			s.Token = &catalog.Token{Exchange: &catalog.Exchange{}}
			s.Token.Exchange.Client.Secret = &catalog.SecretKey{Key: "seal"}
		}, "the gateway's own"},
		"args reach the shim": {func(s *catalog.Server, o *Options) {
			s.Runtime.Command.Args = []string{"{mount:rules}"}
		}, "{mount:rules} is not for"},
		"args reach a package": {func(s *catalog.Server, o *Options) {
			s.Runtime = catalog.Runtime{NPX: &catalog.Package{Package: "a@1.2.3", Args: []string{"{package}"}}}
		}, "{package} is not for"},
		"exec is a package": {func(s *catalog.Server, o *Options) { s.Runtime.Command.Exec = "{package}" }, "{package} is not for"},
		"exec is the shim":  {func(s *catalog.Server, o *Options) { s.Runtime.Command.Exec = "{shim}" }, "{shim} is not for"},
		"env reaches a package": {func(s *catalog.Server, o *Options) {
			s.Runtime = catalog.Runtime{UVX: &catalog.Package{Package: "a==1"}}
			s.Env = []catalog.EnvVar{{Name: "A", Value: "{package}"}}
		}, "{package} is not for"},
		"args of a bridged program": {func(s *catalog.Server, o *Options) { s.Runtime.Command.HTTP = nil }, "{port} is not for"},
		"env reaches a socket": {func(s *catalog.Server, o *Options) {
			s.Env = []catalog.EnvVar{{Name: "A", Value: "x{socket:server}"}}
		}, "{socket:server} is not for"},
		"path with placeholder": {func(s *catalog.Server, o *Options) { s.Runtime.Command.HTTP.Path = "/{shim}" }, "{shim} is not for"},
		"env of the shim": {func(s *catalog.Server, o *Options) {
			s.Env = []catalog.EnvVar{{Name: "SHIM_LISTEN", Value: "x"}}
		}, "begin with SHIM_"},
		"env with the port": {func(s *catalog.Server, o *Options) {
			s.Env = []catalog.EnvVar{{Name: "PORT", Value: "1"}}
		}, "PORT and names"},
		"egress of a remote": {func(s *catalog.Server, o *Options) {
			s.Runtime, s.Env, s.Egress = runtimes["remote"], nil, []catalog.Egress{{CIDR: "10.0.0.0/8, public", Ports: []int{443}}}
		}, "is no network"},
		"egress without ports": {func(s *catalog.Server, o *Options) {
			s.Runtime, s.Env, s.Egress = runtimes["remote"], nil, []catalog.Egress{{CIDR: "10.0.0.0/8"}}
		}, "names no port"},
		"env of a remote": {func(s *catalog.Server, o *Options) {
			s.Runtime = runtimes["remote"]
		}, "not ours to set"},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := entry("command-http", "shared", "none"), options("shared")
			command := *s.Runtime.Command
			command.HTTP = &catalog.HTTP{}
			s.Runtime.Command = &command
			c.change(&s, &o)
			thief := catalog.Filter{Name: "thief", Webhook: &catalog.Webhook{Secret: &catalog.SecretKey{Key: "seal"}}}
			spy := catalog.Filter{Name: "spy", Webhook: &catalog.Webhook{Secret: &catalog.SecretKey{Key: "oauth"}}}
			_, err := MakePlan(s, append([]catalog.Filter{thief, spy}, testFilters...), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	p := Places{
		Shim: "/bin/shim", Package: "/p", Listen: "unix:/s", State: "/st", Port: "1", Ports: map[string]string{"server": "2"},
		Sockets: map[string]string{"server": "/v"}, Mounts: map[string]string{"rules": "/r"},
	}
	for in, want := range map[string]string{
		"":                                 "",
		"plain":                            "plain",
		"{shim} {listen} {port} {state}":   "/bin/shim unix:/s 1 /st",
		"a{port:server}b{socket:server}":   "a2b/v",
		"{package} {package:a}":            "/p {package:a}",
		"{mount:rules}":                    "/r",
		`{"json": {"port": 1}}`:            `{"json": {"port": 1}}`,
		"{ports} {PORT} {port {}":          "{ports} {PORT} {port {}",
		"{{port}}":                         "{1}",
		"{port:shim}":                      "error",
		"{socket:filter-pii} {mount:rules": "error",
		"{mount:}":                         "error",
	} {
		got, err := p.Expand(in)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("Expand(%q) = %q (%v), want %q", in, got, err, want)
		}
	}
	if got, err := (Places{Shim: "/bin/shim"}).Expand("{package}"); err == nil {
		t.Errorf("a unit without a package got %q", got)
	}
}

// TestPackages proves that the package is the same for everybody, and that nothing else of the plan names it.
func TestPackages(t *testing.T) {
	want := map[string]*Package{
		"npx": {Registry: "npm", Name: "@modelcontextprotocol/server-github@2025.4.8"},
		"uvx": {Registry: "pypi", Name: "mcp-server-git[all]==2025.1.14"},
	}
	each(t, func(t *testing.T, name string, p Plan) {
		runtime, _, _ := strings.Cut(name, ".")
		for _, u := range p.Units {
			var expected *Package
			if u.Role == RoleServer {
				expected = want[runtime]
			}
			if diff := cmp.Diff(expected, u.Package); diff != "" {
				t.Errorf("unit %s has another package:\n%s", u.Name, diff)
			}
			if hasProgram := slices.Contains(u.Command, "{package}"); hasProgram != (expected != nil) {
				t.Errorf("unit %s runs %v", u.Name, u.Command)
			}
		}
		if diff := cmp.Diff(want[runtime], PackageOf(entry(runtime, "shared", "none"))); diff != "" {
			t.Errorf("the entry has another package:\n%s", diff)
		}
	})
}
