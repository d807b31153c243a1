package docker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"mcpgateway/internal/deploy"
)

// retryWatch is how soon the engine is asked again that has stopped telling what happens.
const retryWatch = time.Second

// watch follows what happens to our containers, until Close. Whenever the engine was away, all of them are looked at.
func (d *Deployer) watch() {
	away := false
	for d.done.Err() == nil {
		ctx, cancel := context.WithCancel(d.done)
		told := d.engine.Events(ctx, client.EventsListOptions{
			Filters: make(client.Filters).Add("type", string(events.ContainerEventType)).Add("label", labelDeployer+"="+d.id).
				Add("event", string(events.ActionDie), string(events.ActionPause))})
		err := d.takeOver(ctx)
		if err == nil && away {
			d.config.Logger.Info("the engine answers again")
		}
		if away = err != nil; err == nil {
			err = d.hear(ctx, told)
			away = true
		}
		cancel()
		if d.done.Err() != nil {
			return
		}
		d.config.Logger.Warn("the engine does not tell what happens, asking again", "error", err)
		select {
		case <-d.done.Done():
		case <-time.After(retryWatch):
		}
	}
}

// lookAgain is how soon what could not be removed of an instance is tried again, while the engine answers.
const lookAgain = time.Minute

// hear handles events until there are no more.
func (d *Deployer) hear(ctx context.Context, told client.EventsResult) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if _, err := d.meet(ctx); err != nil {
				return err
			}
		case m := <-told.Messages:
			d.mu.Lock()
			g := d.groups[m.Actor.Attributes[labelInstance]]
			d.mu.Unlock()
			if g == nil {
				continue
			}
			name := m.Actor.Attributes[labelUnit]
			if m.Action == events.ActionPause {
				d.end(g, ending{reason: reasonPaused, unit: name})
				continue
			}
			d.exited(g, name, m.Actor.Attributes["exitCode"])
		case err := <-told.Err:
			return err
		}
	}
}

// restartable is how long a unit must have run that is started again: one that ends sooner would do so for ever.
const restartable = time.Second

// exited is called for every container that ended by itself. The shim says by status 0 that it is idle, or has finished; a
// filter, on which nobody else's state depends, is started again; any other end is the group's.
func (d *Deployer) exited(g *group, name, status string) {
	u := g.unit(name)
	if u == nil {
		return
	}
	switch {
	case u.role == deploy.RoleShim && (status == "0" || g.isLeaving()):
		d.end(g, ending{reason: reasonIdle})
	case u.role == deploy.RoleFilter && !g.isLeaving() && time.Since(u.began) > restartable:
		ctx, cancel := context.WithTimeout(d.done, stopGrace)
		defer cancel()
		if d.startUnit(ctx, g, u) == nil {
			d.config.Logger.Warn("a unit ended and was started again", "server", g.key.Server, "instance", g.id, "unit", name, "status", status)
			return
		}
		fallthrough
	default:
		d.end(g, ending{reason: reasonCrashed, unit: name, status: "exit status " + status})
	}
}

// takeOver compares what we know with what the engine has: instances of a former deployer are found as they are, what has
// ended without our hearing of it is ended as a whole, and what is left of others is removed.
func (d *Deployer) takeOver(ctx context.Context) error {
	there, err := d.meet(ctx)
	if err != nil {
		return err
	}
	for _, g := range d.of(nil) {
		if !g.wasReady() {
			continue // whoever starts it sees how that goes
		}
		for _, u := range g.units {
			if !slices.ContainsFunc(there[g.id], func(c container.Summary) bool {
				return c.Labels[labelUnit] == u.name && c.State == container.StateRunning
			}) {
				d.end(g, ending{reason: reasonCrashed, unit: u.name, status: "it does not run any more"})
				break
			}
		}
	}
	return nil
}

// meet adopts, or removes, the instances that we do not know, and returns the containers of all.
func (d *Deployer) meet(ctx context.Context) (map[string][]container.Summary, error) {
	there, err := d.survey(ctx)
	if err != nil {
		return nil, err
	}
	for id, containers := range there {
		d.mu.Lock()
		g := d.groups[id]
		d.mu.Unlock()
		if g == nil {
			d.adopt(ctx, id, containers)
		}
	}
	return there, nil
}

// survey lists the containers of all instances that have anything in the engine: of one whose removal broke off, a network may
// be all that is left.
func (d *Deployer) survey(ctx context.Context) (map[string][]container.Summary, error) {
	ours := make(client.Filters).Add("label", labelDeployer+"="+d.id)
	there := map[string][]container.Summary{}
	volumes, err := d.engine.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	for _, v := range volumes.Items {
		there[v.Labels[labelInstance]] = nil
	}
	networks, err := d.engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks.Items {
		there[n.Labels[labelInstance]] = nil
	}
	containers, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers.Items {
		there[c.Labels[labelInstance]] = append(there[c.Labels[labelInstance]], c)
	}
	return there, nil
}

// adopt takes over an instance that a former deployer started, if all of it runs, or removes it.
func (d *Deployer) adopt(ctx context.Context, id string, containers []container.Summary) {
	g, units := &group{id: id}, "" // of which no container is left
	if len(containers) > 0 {
		g, units = readLabels(containers[0].Labels), containers[0].Labels[labelUnits]
	}
	for _, c := range containers {
		if c.State != container.StateRunning {
			continue
		}
		u := &unit{name: c.Labels[labelUnit], role: deploy.Role(c.Labels[labelRole]), container: c.ID, began: time.Unix(c.Created, 0)}
		g.units = append(g.units, u)
		for _, p := range c.Ports {
			if u.role == deploy.RoleShim && p.PublicPort != 0 {
				_ = g.setPort(d.config.Address, strconv.Itoa(int(p.PublicPort)))
			}
		}
	}
	if strconv.Itoa(len(g.units)) != units || g.url == "" {
		d.config.Logger.Info("removing what is left of an instance", "server", g.key.Server, "instance", g.id)
		if err := d.sweep(ctx, g.id); err != nil {
			d.config.Logger.Error("something of an instance is left in the engine", "instance", g.id, "error", err)
		}
		return
	}
	g.ready = ready(ctx, g.url)
	d.mu.Lock()
	d.groups[g.id] = g
	d.mu.Unlock()
	for _, u := range g.units {
		d.follow(g, u, d.position(g, u))
	}
	d.config.Logger.Info("found running", "server", g.key.Server, "owner", g.key.Owner, "instance", g.id)
}
