package docker

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// plan is of a server that runs an image, under rules that allow everything.
func (p *place) plan(rig *deploytest.Rig, id, image string) deploy.Plan {
	p.t.Helper()
	s := catalog.Server{ID: id, Scale: catalog.Scale{Idle: catalog.Duration(time.Hour), Max: 1}, Startup: catalog.Startup{Timeout: catalog.Duration(30 * time.Second)},
		Runtime: catalog.Runtime{Container: &catalog.Container{Image: image, Port: 8090, Args: []string{deploytest.Program, "-port", "8090"}}}}
	made, err := deploy.MakePlan(s, nil, deploy.Options{RulesKey: rig.RulesKey()})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.deployer.SetRules(p.t.Context(), id, rig.Allow(id, 1)); err != nil {
		p.t.Fatal(err)
	}
	return made
}

func (p *place) ensure(made deploy.Plan) deploy.Instance {
	p.t.Helper()
	instance, err := p.deployer.Ensure(p.t.Context(), made)
	if err != nil {
		p.t.Fatalf("%v: %v", err, deploy.AsStartError(err).Cause)
	}
	return instance
}

// refused is the cause of an Ensure that must fail, of which callers read nothing.
func (p *place) refused(made deploy.Plan) string {
	p.t.Helper()
	instance, err := p.deployer.Ensure(p.t.Context(), made)
	if err == nil {
		p.t.Fatalf("started %+v", instance)
	}
	known := deploy.AsStartError(err)
	if known.Code != deploy.CodeUnavailable || known.RetryAfter <= 0 || strings.Contains(known.Message, "none:1") {
		p.t.Errorf("got %+v", known)
	}
	return known.Cause.Error()
}

// An engine that is not there, that is too old (a fake: it only says so), or that is closed to us, is said at once, with what
// to do.
func TestEngineThatCannotBeUsed(t *testing.T) {
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.39")
		w.Header().Set("Ostype", "linux")
	}))
	defer old.Close()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "dead.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for address, want := range map[string]string{
		"unix://" + filepath.Join(dir, "none.sock"): "is Docker installed and running",
		"unix://" + filepath.Join(dir, "dead.sock"): "is Docker installed and running",
		strings.Replace(old.URL, "http", "tcp", 1):  "too old: it speaks version 1.39",
	} {
		_, err := New(Config{Engine: address, State: filepath.Join(t.TempDir(), "s"), Secrets: dir, Shim: os.Args[0], Drain: time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// An image that nobody has is asked for, and the operator reads why it does not come; one for another kind of machine is
// named with its kind.
func TestImageThatCannotRun(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	missing := p.plan(rig, "missing", "127.0.0.1:1/none:1") // a registry that refuses
	if cause := p.refused(missing); !strings.Contains(cause, "127.0.0.1:1/none:1 is being pulled") {
		t.Errorf("the first call: %s", cause)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.log.String(), "image not fetched"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pull goes on for ever")
		}
	}
	if cause := p.refused(missing); !strings.Contains(cause, "connection refused") {
		t.Errorf("the operator reads: %s", cause)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[linux().Architecture]
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("\x7fELF of another machine"), 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := bake.Bake(t.Context(), nil, bake.Config{Shim: program, Prefix: Prefix + "/other", Load: Loader(p.engine),
		Platform: v1.Platform{OS: "linux", Architecture: other}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if cause := p.refused(p.plan(rig, "other", made.Shim)); !strings.Contains(cause, made.Shim+" is for "+other+", and the engine's machine is "+linux().Architecture) {
		t.Errorf("the operator reads: %s", cause)
	}
}

// What somebody does to a container from outside ends its instance, and the next call starts another.
func TestContainerIsPausedFromOutside(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	made := p.plan(rig, "a", p.suiteImage())
	before := p.ensure(made)
	if _, err := p.engine.ContainerPause(t.Context(), p.inspect(before.ID, "server").Container.ID, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(p.deployer.of(nil)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still there")
		}
	}
	if after := p.ensure(made); after.ID == before.ID || !after.Cold {
		t.Errorf("%+v after %+v", after, before)
	}
	if !strings.Contains(p.log.String(), "paused from outside") {
		t.Error("the operator does not learn of it")
	}
}

// Two deployers on one engine have nothing to do with each other, though their servers have the same names.
func TestTwoDeployersOnOneEngine(t *testing.T) {
	one, other, rig := newPlace(t), newPlace(t), deploytest.NewRig()
	first, second := one.ensure(one.plan(rig, "a", one.suiteImage())), other.ensure(other.plan(rig, "a", one.suiteImage()))
	if err := one.deployer.Remove(context.Background(), deploy.Key{Server: "a"}); err != nil {
		t.Fatal(err)
	}
	if found, ok, err := other.deployer.Find(t.Context(), deploy.Key{Server: "a"}); !ok || err != nil || found.ID != second.ID || first.ID == second.ID {
		t.Errorf("found %+v, %v, want %+v", found, err, second)
	}
	// The file of images may be in the same folder, and is another after each bake.
	if err := atomicfile.Replace(filepath.Join(one.config.State, "docker.lock"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := New(one.config); err == nil || !strings.Contains(err.Error(), "another deployer's") {
		t.Errorf("a second on the same folder: %v", err)
	}
}

// What a removal that broke off has left, a network or a volume without any container, is removed later.
func TestRemainsAreRemoved(t *testing.T) {
	p := newPlace(t)
	of := func(instance string) map[string]string {
		return map[string]string{labelDeployer: p.deployer.id, labelInstance: instance}
	}
	if _, err := p.engine.NetworkCreate(t.Context(), "mcp-remains", client.NetworkCreateOptions{Driver: "bridge", Labels: of("one")}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.engine.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: "mcp-remains-socket", Labels: of("another")}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.deployer.meet(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.checkNothingLeft()
}

// A stop hears when the shim has finished, and does not wait as long as it may.
func TestStopEndsWithTheShim(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	p.ensure(p.plan(rig, "a", p.suiteImage()))
	if err := p.deployer.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := p.log.String(); !strings.Contains(text, "reason=idle") {
		t.Error("it was ended before it had finished")
	}
}

// A container is given no more than it needs.
func TestContainersAreConfined(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	instance := p.ensure(p.plan(rig, "a", p.suiteImage()))
	for _, unit := range []string{"shim", "server"} {
		c := p.inspect(instance.ID, unit).Container
		h := c.HostConfig
		if !h.ReadonlyRootfs || !slices.Contains(h.CapDrop, "ALL") || len(h.CapAdd) > 0 || h.Privileged || !slices.Contains(h.SecurityOpt, "no-new-privileges") ||
			h.PidsLimit == nil || *h.PidsLimit != maxPIDs || c.Config.User == "" || strings.HasPrefix(c.Config.User, "0") {
			t.Errorf("%s: %+v as %q", unit, h, c.Config.User)
		}
		for port, bindings := range c.NetworkSettings.Ports {
			for _, b := range bindings {
				if b.HostIP.String() != loopback {
					t.Errorf("%s: port %v is published on %v", unit, port, b.HostIP)
				}
			}
		}
	}
	if mounts := p.inspect(instance.ID, "server").Container.Mounts; len(mounts) > 0 {
		t.Errorf("the server mounts %+v", mounts)
	}
	if h := p.inspect(instance.ID, "shim").Container.HostConfig; h.Memory != 128<<20 || h.NanoCPUs != 1e9 {
		t.Errorf("the shim may have %d bytes, %d", h.Memory, h.NanoCPUs)
	}
}

// The engine finds another port where the next are taken by others, and where it finds none we ask it once more.
func TestPortsAreTaken(t *testing.T) {
	p, rig := newPlace(t), deploytest.NewRig()
	first := p.ensure(p.plan(rig, "a", p.suiteImage()))
	_, text, _ := strings.Cut(strings.TrimPrefix(first.URL, "http://"), ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range 12 { // the engine tries ten
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port+1+i)))
		if err != nil {
			continue // somebody else has it
		}
		defer l.Close()
		taken++
	}
	second := p.ensure(p.plan(rig, "b", p.suiteImage()))
	if second.URL == first.URL || taken == 0 {
		t.Errorf("%+v and %+v, with %d ports taken", first, second, taken)
	}
	if !strings.Contains(p.log.String(), "a port was taken, trying another") {
		t.Errorf("nothing was in the way: %s after %s", second.URL, first.URL)
	}
}
