package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/secretfolder"
)

// launch starts a new group. A *deploy.StartError was logged, any other error not yet; nothing is left of the group then.
func (d *Deployer) launch(p deploy.Plan) (*group, error) {
	ctx, cancel := context.WithTimeout(d.accepting, p.Startup+engineGrace)
	defer cancel()
	found, err := d.imagesOf(ctx, p)
	if err != nil {
		return nil, err
	}
	g, err := d.claim(p)
	if err != nil {
		return nil, err
	}
	g.foreign = d.foreign(found)
	blanks, err := blueprint{config: d.config, deployer: d.id, user: d.user, group: g, plan: p, images: found,
		values: secretfolder.Folder(d.config.Secrets).Value}.blanks()
	if err == nil {
		err = d.prepare(g, blanks)
	}
	if err != nil {
		d.end(g, ending{reason: reasonNotBegun})
		return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: notConfigured, Cause: err, RetryAfter: 30 * time.Second})
	}
	d.config.Logger.Info("starting", "server", p.Server, "owner", p.Owner, "instance", g.id)
	if err = d.create(ctx, g, blanks); err == nil {
		err = d.begin(ctx, g, blanks)
	}
	if err != nil {
		d.end(g, ending{reason: reasonNotBegun})
		<-g.ended
		return nil, errors.Join(g.foreign, explain(err))
	}
	return g, nil
}

// engineGrace is how much longer than a start may take the engine may, before it is given up.
const engineGrace = 30 * time.Second

// claim makes a new group, unless there are as many instances as the plan allows.
func (d *Deployer) claim(p deploy.Plan) (*group, error) {
	d.starts.Lock()
	defer d.starts.Unlock()
	if err := d.accepting.Err(); err != nil {
		return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: "The gateway is shutting down.", Cause: err})
	}
	if up := d.countInstances(p.Server); p.Instances > 0 && up >= p.Instances {
		return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Code: deploy.CodeLimit, RetryAfter: p.Scale.Idle,
			Message: "As many people use this server as it has room for.", Cause: fmt.Errorf("%d instances are up", up)})
	}
	g := newGroup(p)
	for _, u := range p.Units {
		g.units = append(g.units, &unit{name: u.Name, role: u.Role})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups[g.id] = g
	return g, nil
}

func (d *Deployer) countInstances(server string) int {
	n := 0
	for _, g := range d.of(nil) {
		if g.key.Server == server && !g.isLeaving() {
			n++
		}
	}
	return n
}

// prepare makes what the containers mount of this machine.
func (d *Deployer) prepare(g *group, blanks []blank) error {
	if _, err := os.Stat(filepath.Join(d.config.rules(g.key.Server), rulesFile)); err != nil {
		return fmt.Errorf("mounted file: %w", err)
	}
	spool := d.config.spool(g.key.Server)
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(spool, deploy.ImageUser, deploy.ImageUser); err != nil {
			return err
		}
	}
	for _, b := range blanks {
		for path, value := range b.files {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, value, 0o444); err != nil {
				return err
			}
		}
	}
	return nil
}

// create makes network and containers, all at once: the engine takes its time for each.
func (d *Deployer) create(ctx context.Context, g *group, blanks []blank) error {
	problems := make([]error, len(blanks)+1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := d.engine.NetworkCreate(ctx, g.network(), client.NetworkCreateOptions{Driver: "bridge", Labels: g.labels(d.id),
			// Units that speak with each other share a socket or a stack; over the network no one needs to.
			Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"}})
		if err != nil {
			problems[len(blanks)] = fmt.Errorf("network: %w", err)
		}
	})
	for i, b := range blanks {
		wg.Go(func() {
			made, err := d.engine.ContainerCreate(ctx, b.make)
			if err != nil {
				problems[i] = fmt.Errorf("unit %s: %w", b.unit.Name, err)
				return
			}
			g.setContainer(b.unit.Name, made.ID)
		})
	}
	wg.Wait()
	return errors.Join(problems...)
}

// begin starts the containers: those that enter the shim's network after it.
func (d *Deployer) begin(ctx context.Context, g *group, blanks []blank) error {
	for _, after := range []bool{false, true} {
		problems := make([]error, len(blanks))
		var wg sync.WaitGroup
		for i, b := range blanks {
			if b.after != after {
				continue
			}
			wg.Go(func() {
				if problems[i] = d.startUnit(ctx, g, g.unit(b.unit.Name)); problems[i] != nil {
					problems[i] = fmt.Errorf("unit %s: %w", b.unit.Name, problems[i])
				}
			})
		}
		wg.Wait()
		if err := errors.Join(problems...); err != nil {
			return err
		}
	}
	return nil
}

// startUnit starts a container, and has what it prints copied. Of the shim's it learns the port.
func (d *Deployer) startUnit(ctx context.Context, g *group, u *unit) error {
	if _, err := d.engine.ContainerStart(ctx, u.container, client.ContainerStartOptions{}); err != nil {
		return err
	}
	u.began = time.Now()
	d.follow(g, u, "")
	if u.role != deploy.RoleShim {
		return nil
	}
	found, err := d.engine.ContainerInspect(ctx, u.container, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	var ports network.PortMap
	if found.Container.NetworkSettings != nil {
		ports = found.Container.NetworkSettings.Ports
	}
	for bindings := range maps.Values(ports) {
		for _, b := range bindings {
			return g.setPort(d.config.Address, b.HostPort)
		}
	}
	return errors.New("the engine has published no port")
}

func (g *group) setContainer(unit, id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unit(unit).container = id
}

func (g *group) setPort(address, port string) error {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || port == "0" {
		return fmt.Errorf("the engine has published the port %q", port)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.url = "http://" + address + ":" + port
	return nil
}

// portTaken says whether a start failed since a port of this machine is another's.
func portTaken(err error) bool {
	if _, refused := errors.AsType[*deploy.StartError](err); err == nil || refused {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "address already in use") || strings.Contains(text, "port is already allocated")
}

// foreign names an image for machines of another kind than the engine's; nil where there is none.
func (d *Deployer) foreign(found map[string]image) error {
	for unit, i := range found {
		if i.arch != d.arch {
			return fmt.Errorf("unit %s: the image %s is for %s, and the engine's machine is %s", unit, i.ref, i.arch, d.arch)
		}
	}
	return nil
}

// explain adds to an error of the engine what an operator can do about it.
func explain(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "no space left on device"):
		return fmt.Errorf("the engine's disk is full, docker system df shows by what: %w", err)
	case strings.Contains(text, "could not find an available"), strings.Contains(text, "all predefined address pools"):
		return fmt.Errorf("the engine has no addresses left for one more network: give it more with default-address-pools in daemon.json: %w", err)
	}
	return err
}
