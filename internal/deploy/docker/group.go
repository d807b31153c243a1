package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/unitlog"
)

// group is one instance: its containers, network, volumes and files. All that must outlive the deployer stands in the
// containers' labels.
type group struct {
	id      string
	key     deploy.Key
	hash    string
	started time.Time
	units   []*unit
	last    unitlog.Last
	copied  sync.WaitGroup // what its containers print was read to the end
	ended   chan struct{}  // closed when nothing is left of it
	ending  sync.Once
	foreign error // it has an image for machines of another kind, which an engine may run all the same

	mu      sync.Mutex
	url     string // set before it is ready
	ready   bool
	leaving bool // it takes no more calls
}

// unit is one container of a group.
type unit struct {
	name      string
	role      deploy.Role
	container string // its id
	began     time.Time
}

// ending is why a group ends.
type ending struct {
	reason string
	unit   string
	status string
}

// The reasons.
const (
	reasonIdle     = "idle" // or replaced: it ended as it should
	reasonStopped  = "stopped"
	reasonCrashed  = "crashed"
	reasonPaused   = "paused from outside"
	reasonSilent   = "it does not answer"
	reasonTimeout  = "not ready in time"
	reasonNotBegun = "not started"
)

// failure says whether an end counts as one.
func (e ending) failure() bool { return e.reason != reasonIdle && e.reason != reasonStopped }

// The labels of all that is ours in an engine.
const (
	labelDeployer = "mcpgateway.deployer"
	labelInstance = "mcpgateway.instance"
	labelServer   = "mcpgateway.server"
	labelIssuer   = "mcpgateway.owner.issuer"
	labelSubject  = "mcpgateway.owner.subject"
	labelHash     = "mcpgateway.hash"
	labelUnit     = "mcpgateway.unit"
	labelRole     = "mcpgateway.role"
	labelUnits    = "mcpgateway.units" // how many containers the instance has
	labelStarted  = "mcpgateway.started"
)

// newGroup names a new instance. Nothing of it is there yet.
func newGroup(p deploy.Plan) *group {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return &group{id: hex.EncodeToString(random[:]), key: p.Key(), hash: p.Hash, started: time.Now(), ended: make(chan struct{})}
}

// labels are those of a group's network and volumes, and with those of a unit of its containers.
func (g *group) labels(deployer string) map[string]string {
	l := map[string]string{labelDeployer: deployer, labelInstance: g.id, labelServer: g.key.Server, labelHash: g.hash,
		labelStarted: strconv.FormatInt(g.started.UnixNano(), 10)}
	if o := g.key.Owner; o != nil {
		l[labelIssuer], l[labelSubject] = o.Issuer, o.Subject
	}
	return l
}

// readLabels is the group that labels are of, without units.
func readLabels(l map[string]string) *group {
	g := &group{id: l[labelInstance], key: deploy.Key{Server: l[labelServer]}, hash: l[labelHash], ended: make(chan struct{})}
	if issuer, ok := l[labelIssuer]; ok {
		g.key.Owner = &deploy.Owner{Issuer: issuer, Subject: l[labelSubject]}
	}
	nanoseconds, _ := strconv.ParseInt(l[labelStarted], 10, 64)
	g.started = time.Unix(0, nanoseconds)
	return g
}

func (g *group) network() string              { return "mcp-" + g.id }
func (g *group) volume(socket string) string  { return "mcp-" + g.id + "-" + socket }
func (g *group) container(unit string) string { return "mcp-" + g.key.Server + "-" + g.id + "-" + unit }

func (g *group) unit(name string) *unit {
	for _, u := range g.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

func (g *group) shim() *unit {
	for _, u := range g.units {
		if u.role == deploy.RoleShim {
			return u
		}
	}
	return nil
}

// open reports whether the group got as far as taking calls, and was not told to end.
func (g *group) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready && !g.leaving
}

func (g *group) wasReady() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready
}

func (g *group) isLeaving() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leaving
}

// leave has the group take no more calls, and reports whether it did so far.
func (g *group) leave() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.leaving
	g.leaving = true
	return !before
}

func (g *group) setReady() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ready = true
}

// folder is where the files of a group are that its containers mount.
func (c Config) folder(g *group) string     { return filepath.Join(c.instances(), g.id) }
func (c Config) instances() string          { return filepath.Join(c.State, "i") }
func (c Config) logs(server string) string  { return filepath.Join(c.State, "logs", server) }
func (c Config) rules(server string) string { return filepath.Join(c.State, "rules", server) }
func (c Config) spool(server string) string { return filepath.Join(c.State, "spool", server) }

// probes asks shims whether they are ready. Connections are not kept: an instance soon sleeps.
var probes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}

// ready asks the shim at url, which answers for the server behind it too.
func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := probes.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
