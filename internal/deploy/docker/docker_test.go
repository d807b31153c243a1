package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
	"mcpgateway/internal/logtest"
)

// place is where a deployer under test lives. Its programs are the suite's: the test server, and a stand-in for the shim.
type place struct {
	t        testing.TB
	engine   *client.Client
	config   Config
	deployer *Deployer
	log      *logtest.Log
}

// testEngine returns a client for the engine of tests. Without one a test is skipped, or fails where TEST_DOCKER=required.
func testEngine(t testing.TB) *client.Client {
	t.Helper()
	engine, err := connect(t.Context(), "")
	if err != nil && os.Getenv("TEST_DOCKER") == "required" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("no engine answers, make e2e-docker brings one up: %v", err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// programs is built once: a static program that is server, shim and bridge of the suite, with an image of it.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "suite")
	if err != nil {
		return "", err
	}
	made := exec.Command("go", "build", "-o", filepath.Join(dir, "suite"), "mcpgateway/internal/deploy/deploytest/suiteserver")
	made.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := made.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "suite"), nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if program, err := programs(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(status)
}

func newPlace(t testing.TB) *place {
	t.Helper()
	testEngine(t)
	return newPlaceAt(t, "")
}

// newPlaceAt makes one for the engine at an address.
func newPlaceAt(t testing.TB, address string) *place {
	t.Helper()
	engine, err := connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	program, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &place{t: t, engine: engine, log: &logtest.Log{}}
	p.config = Config{Engine: address, State: filepath.Join(dir, "s"), Secrets: filepath.Join(dir, "secrets"), Shim: program,
		Drain: 20 * time.Second, Backoff: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(p.log, nil))}
	p.open()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := errors.Join(p.deployer.StopAll(ctx), p.deployer.Close())
		if err != nil {
			t.Error(err)
		}
		p.checkNothingLeft()
		if t.Failed() {
			t.Logf("the deployer's log:\n%s", p.log)
		}
	})
	return p
}

func (p *place) open() {
	p.t.Helper()
	var err error
	if p.deployer, err = New(p.config); err != nil {
		p.t.Fatal(err)
	}
}

// checkNothingLeft looks for what the deployer has in the engine, and for files of instances.
func (p *place) checkNothingLeft() {
	p.t.Helper()
	ours, ctx := make(client.Filters).Add("label", labelDeployer+"="+p.deployer.id), context.Background()
	containers, err := p.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	networks, err2 := p.engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	volumes, err3 := p.engine.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	if err := errors.Join(err, err2, err3); err != nil || len(containers.Items)+len(networks.Items)+len(volumes.Items) > 0 {
		p.t.Errorf("left are %v, %v, %v (%v)", containers.Items, networks.Items, volumes.Items, err)
	}
	if files, _ := filepath.Glob(filepath.Join(p.config.instances(), "*")); len(files) > 0 {
		p.t.Errorf("left are %v", files)
	}
}

func (p *place) putSecret(store, key, value string) {
	p.t.Helper()
	path := filepath.Join(p.config.Secrets, strings.TrimPrefix(store, "mcp-"), key)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(value), 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

// inspect is what the engine says of a unit's container.
func (p *place) inspect(instance, unit string) client.ContainerInspectResult {
	p.t.Helper()
	list, err := p.engine.ContainerList(p.t.Context(), client.ContainerListOptions{
		Filters: make(client.Filters).Add("label", labelInstance+"="+instance, labelUnit+"="+unit)})
	if err != nil || len(list.Items) != 1 {
		p.t.Fatalf("%d containers are unit %s of %s: %v", len(list.Items), unit, instance, err)
	}
	found, err := p.engine.ContainerInspect(p.t.Context(), list.Items[0].ID, client.ContainerInspectOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

func (p *place) bench() deploytest.Bench {
	return deploytest.Bench{
		Deployer: p.deployer,
		Again: func() deploytest.Deployer {
			if err := p.deployer.Close(); err != nil {
				p.t.Error(err)
			}
			p.open()
			return p.deployer
		},
		Runtime: func(args ...string) catalog.Runtime {
			return catalog.Runtime{Container: &catalog.Container{Image: p.suiteImage(), Port: 8090,
				Args: append([]string{deploytest.Program, "-port", "8090"}, args...)}}
		},
		PutSecret: p.putSecret,
		Kill: func(instance deploy.Instance, unit string) {
			id := p.inspect(instance.ID, unit).Container.ID
			if _, err := p.engine.ContainerKill(p.t.Context(), id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
				p.t.Fatal(err)
			}
		},
		Environ: func(instance deploy.Instance, unit string) []string {
			return p.inspect(instance.ID, unit).Container.Config.Env
		},
		Log:  p.log.String,
		Idle: 2 * time.Second,
	}
}

// eventually waits until something holds.
func (p *place) eventually(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("never: %s", what)
		}
	}
}

// suiteImage is an image whose own program is the suite's, as that of any other container server.
func (p *place) suiteImage() string {
	made, err := bake.Bake(p.t.Context(), nil, bake.Config{Shim: p.config.Shim, Prefix: Prefix + "/suite", Load: Loader(p.engine),
		Platform: linux(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	return made.Shim
}

func TestSuite(t *testing.T) {
	testEngine(t)
	deploytest.Run(t, func(t *testing.T) deploytest.Bench { return newPlace(t).bench() })
}
