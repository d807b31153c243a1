package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"mcpgateway/internal/deploy"
)

// How long things may take when a group ends.
const (
	stopGrace    = 5 * time.Second        // between SIGTERM and SIGKILL
	outputGrace  = 500 * time.Millisecond // for the last lines
	removeWithin = time.Minute            // for the engine
)

// retire has a group take no more calls, and end when it has finished those it has. It does not wait.
func (d *Deployer) retire(g *group) {
	if !g.leave() {
		return
	}
	d.config.Logger.Info("finishing", "server", g.key.Server, "owner", g.key.Owner, "instance", g.id)
	if err := d.signal(g.shim(), "SIGTERM"); err != nil {
		d.end(g, ending{reason: reasonIdle}) // there is nobody to finish anything
		return
	}
	// The shim ends by itself after the drain at the latest. One that does not is no shim any more.
	time.AfterFunc(d.config.Drain+stopGrace, func() { d.end(g, ending{reason: reasonIdle}) })
}

func (d *Deployer) signal(u *unit, signal string) error {
	if u == nil || u.container == "" {
		return errors.New("there is no container")
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	_, err := d.engine.ContainerKill(ctx, u.container, client.ContainerKillOptions{Signal: signal})
	return err
}

// end ends a group for a reason, of which the first counts. It does not wait: ended is closed when nothing is left.
func (d *Deployer) end(g *group, why ending) {
	g.ending.Do(func() {
		g.leave()
		d.watched.Go(func() {
			d.collect(g, why)
			d.account(g, why)
			d.mu.Lock()
			delete(d.groups, g.id)
			d.mu.Unlock()
			close(g.ended)
		})
	})
}

// collect stops what still runs of a group, politely unless somebody wants it to end at once, and removes all of it.
func (d *Deployer) collect(g *group, why ending) {
	ctx, cancel := context.WithTimeout(context.Background(), removeWithin)
	defer cancel()
	seconds := int(stopGrace.Seconds())
	if why.reason != reasonIdle && why.reason != reasonCrashed {
		seconds = 0
	}
	var wg sync.WaitGroup
	for _, u := range g.units {
		if u.container != "" {
			wg.Go(func() {
				_, _ = d.engine.ContainerStop(ctx, u.container, client.ContainerStopOptions{Timeout: &seconds}) // it is removed in any case
			})
		}
	}
	wg.Wait()
	g.awaitOutput()
	if err := d.sweep(ctx, g.id); err != nil {
		d.config.Logger.Error("something of an instance is left in the engine, and removed later", "server", g.key.Server, "instance", g.id, "error", err)
	}
}

// awaitOutput waits until what the units printed was read.
func (g *group) awaitOutput() {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		g.copied.Wait()
	}()
	select {
	case <-copied:
	case <-time.After(outputGrace):
	}
}

// sweep removes all that an instance has in the engine, and its files.
func (d *Deployer) sweep(ctx context.Context, instance string) error {
	ours := make(client.Filters).Add("label", labelDeployer+"="+d.id, labelInstance+"="+instance)
	var problems []error
	gone := func(what string, err error) {
		if err != nil && !errdefs.IsNotFound(err) {
			problems = append(problems, fmt.Errorf("remove %s: %w", what, err))
		}
	}
	containers, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	gone("containers", err)
	var wg sync.WaitGroup
	removed := make([]error, len(containers.Items))
	for i, c := range containers.Items {
		wg.Go(func() {
			_, removed[i] = d.engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		})
	}
	wg.Wait()
	for _, err := range removed {
		gone("container", err)
	}
	networks, err := d.engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	gone("networks", err)
	for _, n := range networks.Items {
		_, err := d.engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		gone("network", err)
	}
	volumes, err := d.engine.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	gone("volumes", err)
	for _, v := range volumes.Items {
		_, err := d.engine.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
		gone("volume", err)
	}
	gone("files", os.RemoveAll(d.config.folder(&group{id: instance})))
	return errors.Join(problems...)
}

// account tells the operator how a group ended, and counts its failures.
func (d *Deployer) account(g *group, why ending) {
	if !why.failure() {
		d.config.Logger.Info("ended", "server", g.key.Server, "owner", g.key.Owner, "instance", g.id, "reason", why.reason)
		return
	}
	if why.reason == reasonNotBegun {
		return // whoever started it says why
	}
	d.backoff.Fail(g.key, g.started, time.Now())
	d.config.Logger.Error("instance ended", "server", g.key.Server, "owner", g.key.Owner, "instance", g.id,
		"reason", why.reason, "unit", why.unit, "status", why.status, "lines", g.last.All())
}

// Deploy has the instances of a plan's key that were started by another hash take no more calls and finish. It does
// not wait for them.
func (d *Deployer) Deploy(_ context.Context, p deploy.Plan) error {
	key := p.Key()
	for _, g := range d.of(&key) {
		if g.hash != p.Hash {
			d.retire(g)
		}
	}
	return nil
}

// Remove ends all instances of key, and returns when nothing is left of them. Calls under way have five seconds.
func (d *Deployer) Remove(ctx context.Context, key deploy.Key) error {
	return d.remove(ctx, d.of(&key))
}

// StopAll ends everything, and starts nothing more. It is for a shutdown that should leave nothing behind; until Close, what
// happens is heard, and what is printed copied.
func (d *Deployer) StopAll(ctx context.Context) error {
	d.starts.Lock() // whoever was about to start has claimed, or will see that we stop
	d.stop()
	d.starts.Unlock()
	return d.remove(ctx, d.of(nil))
}

func (d *Deployer) remove(ctx context.Context, list []*group) error {
	var wg sync.WaitGroup
	for _, g := range list {
		wg.Go(func() {
			d.retire(g)
			select {
			case <-g.ended:
			case <-ctx.Done():
			case <-time.After(stopGrace):
			}
			d.end(g, ending{reason: reasonStopped})
			<-g.ended
		})
	}
	wg.Wait()
	for _, g := range list {
		if left, err := d.left(context.WithoutCancel(ctx), g.id); err != nil || left > 0 {
			return fmt.Errorf("remove %s: %d containers of instance %s are still there: %w", g.key.Server, left, g.id, err)
		}
	}
	return nil
}

// left counts the containers of an instance.
func (d *Deployer) left(ctx context.Context, instance string) (int, error) {
	list, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", labelDeployer+"="+d.id, labelInstance+"="+instance)})
	return len(list.Items), err
}
