package docker

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/client"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/deploy/deploytest"
)

// An engine that restarts under us takes all its containers along. Until it answers again calls are refused, and the operator
// reads why; then they start anew, and of what was there before nothing is left.
func TestEngineRestarts(t *testing.T) {
	for name, how := range map[string]syscall.Signal{"told to": syscall.SIGTERM, "after a crash": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			e := newOwnEngine(t)
			e.start()
			p, rig := newPlaceAt(t, e.address()), deploytest.NewRig()
			made := p.plan(rig, "a", p.suiteImage())
			before := p.ensure(made)
			e.end(how)
			p.eventually("it is not found any more", func() bool {
				_, found, err := p.deployer.Find(t.Context(), made.Key())
				return err != nil || !found || how == syscall.SIGKILL // the containers of a crashed one go on
			})
			if how == syscall.SIGTERM {
				if cause := p.refused(made); !strings.Contains(cause, "is Docker installed and running") {
					t.Errorf("the operator reads: %s", cause)
				}
			}
			e.start()
			p.eventually("the engine is found again", func() bool { return strings.Contains(p.log.String(), "the engine answers again") })
			p.eventually("only what was started since is there", func() bool {
				after := p.ensure(made)
				left := p.left()
				return after.ID != before.ID && len(left) == 1 && left[0] == after.ID
			})
		})
	}
}

// left are the instances of which anything is in the engine.
func (p *place) left() (instances []string) {
	p.t.Helper()
	seen := map[string]bool{}
	see := func(labels map[string]string) {
		if id := labels[labelInstance]; !seen[id] {
			seen[id] = true
			instances = append(instances, id)
		}
	}
	ours, ctx := make(client.Filters).Add("label", labelDeployer+"="+p.deployer.id), context.Background()
	containers, err := p.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	networks, err2 := p.engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	volumes, err3 := p.engine.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	for _, err := range []error{err, err2, err3} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
	for _, c := range containers.Items {
		see(c.Labels)
	}
	for _, n := range networks.Items {
		see(n.Labels)
	}
	for _, v := range volumes.Items {
		see(v.Labels)
	}
	return instances
}

// diskSize holds the images of these tests, and little more.
const diskSize = "96m"

// An engine whose disk is full starts nothing, loads nothing, and the operator reads why. Nothing of the attempt is left, and
// once there is room again the next call starts.
func TestEngineDiskIsFull(t *testing.T) {
	e := newOwnEngine(t)
	if err := os.MkdirAll(e.data(), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", e.data(), "tmpfs", 0, "size="+diskSize); err != nil {
		t.Fatal(err)
	}
	e.start()
	p, rig := newPlaceAt(t, e.address()), deploytest.NewRig()
	made := p.plan(rig, "a", p.suiteImage())
	room := filepath.Join(e.data(), "filler")
	fill(t, room)
	if cause := p.refused(made); !strings.Contains(cause, "the engine's disk is full") || !strings.Contains(cause, "no space left on device") {
		t.Errorf("the operator reads: %s", cause)
	}
	if _, err := bake.Bake(t.Context(), nil, bake.Config{Shim: p.config.Shim, Prefix: Prefix + "/more", Load: Loader(p.engine),
		Platform: linux(), Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("an image is loaded: %v", err)
	}
	p.eventually("nothing is left of it", func() bool { return len(p.left()) == 0 })
	if err := os.Remove(room); err != nil {
		t.Fatal(err)
	}
	p.ensure(made)
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Fatalf("the disk is not full: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
