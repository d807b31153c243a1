package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
)

// How often the files are read again, so that a change of policy is in force within a minute: half of that here, and a
// second in the shim. While keys of an issuer are missing it is tried more often.
const (
	interval        = 30 * time.Second
	intervalMissing = 5 * time.Second
)

// How long issuers may take to answer: at the start, when everybody waits for us, and later.
const (
	firstPatience = time.Second
	patience      = 10 * time.Second
)

// files is what the operator wrote, as it was read last.
type files struct {
	platform *catalog.Platform
	catalog  *catalog.Catalog
	verifier *identity.Verifier // which keeps the issuers' keys
}

func loadFiles(path string, log *slog.Logger) (*files, error) {
	if path == "" {
		return nil, errors.New("PLATFORM is not set: it must name the platform file")
	}
	f := &files{}
	var err error
	if f.platform, err = catalog.LoadPlatform(path); err != nil {
		return nil, err
	}
	if f.catalog, err = catalog.LoadCatalog(f.platform.Catalog, f.platform); err != nil {
		return nil, err
	}
	f.verifier, err = identity.NewVerifier(identity.Config{Issuers: f.platform.Issuers, Logger: log})
	return f, err
}

// keepReconciling reconciles until ctx ends: on a clock, and when asked.
func (d *deployer) keepReconciling(ctx context.Context, again <-chan struct{}) {
	pause := intervalMissing
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-time.After(pause):
		}
		d.reload()
		if pause = interval; !d.reconcile(ctx, patience) {
			pause = intervalMissing
		}
	}
}

// reload reads the files again. With a mistake in them the old ones stay: servers that run must not end because
// somebody is typing.
func (d *deployer) reload() {
	now, err := loadFiles(d.path, d.log)
	if err != nil {
		d.log.Error("files not read again, what was read before stays in force", "error", err)
		return
	}
	old := d.files.Load()
	if reflect.DeepEqual(now.platform.Issuers, old.platform.Issuers) {
		now.verifier = old.verifier
	}
	if now.platform.Deployer != old.platform.Deployer {
		d.log.Warn("a change of the platform's deployer section needs a restart")
	}
	d.files.Store(now)
}

// reconcile puts the files in force: rules that changed, an end to instances that the catalog does not have, or has in
// another shape, and what servers need that is not installed yet. It reports whether the keys of all issuers are known.
func (d *deployer) reconcile(ctx context.Context, patience time.Duration) bool {
	f := d.files.Load()
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	issuers := f.verifier.Snapshot(asking)
	for _, s := range f.catalog.Servers {
		if err := d.publish(ctx, f, s, issuers); err != nil {
			d.log.Error("rules not changed", "server", s.ID, "error", err)
		}
	}
	if err := d.prune(ctx); err != nil {
		d.log.Error("instances not compared with the catalog", "error", err)
	}
	if err := d.runner.Prepare(ctx, needs(f.catalog)); err != nil {
		d.log.Error("packages not compared with the catalog", "error", err)
	}
	return !slices.ContainsFunc(issuers, func(i identity.Issuer) bool { return i.Keys == nil })
}

// needs are the packages of the catalog.
func needs(c *catalog.Catalog) []deploy.Need {
	var list []deploy.Need
	for _, s := range c.Servers {
		if p := deploy.PackageOf(s); p != nil {
			list = append(list, deploy.Need{Server: s.ID, Package: *p})
		}
	}
	return list
}

// publish puts a server's rules in force if they differ from those that are.
func (d *deployer) publish(ctx context.Context, f *files, s catalog.Server, issuers []identity.Issuer) error {
	before, err := d.published(s.ID)
	if err != nil {
		// Not ours, or of an older form: whatever it says, ours is in force from now on.
		d.log.Warn("rules replaced that cannot be read", "server", s.ID, "error", err)
	}
	now := deploy.MakeRules(s, f.catalog, f.platform, keepKeys(issuers, before.Issuers), before.Version)
	if same(now, before) {
		return nil
	}
	now.Version = max(time.Now().UnixMilli(), before.Version+1)
	signed, err := rules.Sign(d.key, now)
	if err != nil {
		return err
	}
	if err := d.runner.SetRules(ctx, s.ID, signed); err != nil {
		return err
	}
	d.log.Info("rules changed", "server", s.ID, "version", now.Version)
	return nil
}

// published is what is in force for a server; nothing where that is nothing yet.
func (d *deployer) published(server string) (rules.Rules, error) {
	signed, err := d.runner.Rules(server)
	if errors.Is(err, fs.ErrNotExist) {
		return rules.Rules{}, nil
	}
	if err != nil {
		return rules.Rules{}, err
	}
	return rules.Open(d.public(), signed)
}

// keepKeys fills in keys that an issuer cannot be asked for now from an earlier version: a wake must not need it.
func keepKeys(issuers, before []identity.Issuer) []identity.Issuer {
	issuers = slices.Clone(issuers)
	for i := range issuers {
		for _, old := range before {
			if issuers[i].Keys == nil && issuers[i].URL == old.URL {
				issuers[i].Keys = old.Keys
			}
		}
	}
	return issuers
}

func same(a, b rules.Rules) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(one, other)
}

// prune ends what the catalog no longer has at once, and lets what it has in another shape finish its calls.
func (d *deployer) prune(ctx context.Context) error {
	list, err := d.runner.List(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, instance := range list {
		plan, err := d.plan(instance.Key)
		if err != nil {
			err = d.runner.Remove(ctx, instance.Key)
		} else if plan.Hash != instance.Hash {
			err = d.runner.Retire(ctx, instance.Key, plan.Hash)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("server %s: %w", instance.Key.Server, err))
		}
	}
	return errors.Join(problems...)
}
