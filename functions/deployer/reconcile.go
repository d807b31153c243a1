package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
)

// How often what runs, and the rules that it has, are compared with the files and with the issuers' keys. While keys of
// an issuer are missing it is tried more often.
const (
	interval        = 30 * time.Second
	intervalMissing = 5 * time.Second
)

// How long issuers may take to answer: when everybody waits for us, as at the start and at a change, and otherwise.
const (
	firstPatience = time.Second
	patience      = 10 * time.Second
)

// keepReconciling reconciles until ctx ends: on a clock, and when files changed.
func (d *deployer) keepReconciling(ctx context.Context) {
	pause := intervalMissing
	for {
		wait := patience
		select {
		case <-ctx.Done():
			return
		case <-d.changed:
			wait = firstPatience
		case <-time.After(pause):
		}
		if pause = interval; !d.reconcile(ctx, wait) {
			pause = intervalMissing
		}
	}
}

// accept puts files in force: rules first, so that no server starts without, or by those that it had when the files
// knew it last.
func (d *deployer) accept(now *documents.Version) error {
	asking, cancel := context.WithTimeout(context.Background(), firstPatience)
	defer cancel()
	issuers := now.Verifier.Snapshot(asking)
	d.publishing.Lock()
	defer d.publishing.Unlock()
	d.publishAll(context.Background(), now, issuers)
	if old := d.files.Swap(now); old.Platform.Limits.CallTimeout != now.Platform.Limits.CallTimeout {
		d.log.Warn("how long the calls of a server that is replaced may take needs a restart to change", "until then", old.Platform.Limits.CallTimeout)
	}
	select {
	case d.changed <- struct{}{}:
	default: // one is waiting already
	}
	return nil
}

// reconcile puts the files in force: rules that changed, an end to instances that the catalog does not have, or has in
// another shape, and what servers need that is not installed yet. It reports whether the keys of all issuers are known.
func (d *deployer) reconcile(ctx context.Context, patience time.Duration) bool {
	f := d.files.Load()
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	issuers := f.Verifier.Snapshot(asking)
	d.publishing.Lock()
	if d.files.Load() == f { // else newer ones were published meanwhile, and there is a word of it on changed
		d.publishAll(ctx, f, issuers)
	}
	d.publishing.Unlock()
	if err := d.deployAll(ctx, f.Catalog); err != nil {
		d.log.Error("instances not compared with the catalog", "error", err)
	}
	if err := d.forget(ctx, f); err != nil {
		d.log.Error("what servers had that are gone not removed", "error", err)
	}
	if err := d.runner.Prepare(ctx, needs(f.Catalog)); err != nil {
		d.log.Error("packages not compared with the catalog", "error", err)
	}
	return !slices.ContainsFunc(issuers, func(i identity.Issuer) bool { return i.Keys == nil })
}

// needs are the packages and images of the catalog.
func needs(c *catalog.Catalog) []deploy.Need {
	var list []deploy.Need
	for _, s := range c.Servers {
		if p := deploy.PackageOf(s); p != nil {
			list = append(list, deploy.Need{Server: s.ID, Package: *p})
		}
		if c := s.Runtime.Container; c != nil {
			list = append(list, deploy.Need{Server: s.ID, Image: c.Image})
		}
	}
	return list
}

// publishAll puts the rules and the egress of all servers in force. The caller holds publishing.
func (d *deployer) publishAll(ctx context.Context, f *documents.Version, issuers []identity.Issuer) {
	d.publishThese(ctx, f, issuers, func(catalog.Server) bool { return true })
}

func (d *deployer) publishThese(ctx context.Context, f *documents.Version, issuers []identity.Issuer, these func(catalog.Server) bool) {
	// Once for all servers, since a policy may be for each of them. The catalog itself stays as it was read.
	policies, err := compile.Policies(f.Catalog.Policies)
	if err != nil {
		d.log.Error("rules not changed", "error", err)
		return
	}
	ready := *f.Catalog
	ready.Policies = policies
	for _, s := range ready.Servers {
		if !these(s) {
			continue
		}
		if err := d.publish(ctx, &ready, f.Platform, s, issuers); err != nil {
			d.log.Error("rules not changed", "server", s.ID, "error", err)
		}
		if err := d.openEgress(ctx, &ready, s); err != nil {
			d.log.Error("egress not changed", "server", s.ID, "error", err)
		}
	}
}

// openEgress has a server reach what its entry says.
func (d *deployer) openEgress(ctx context.Context, c *catalog.Catalog, s catalog.Server) error {
	allowed, err := deploy.MakeEgress(s, c.Filters)
	if err != nil {
		return err
	}
	return d.runner.SetEgress(ctx, s.ID, allowed)
}

// forget removes what servers had that the catalog does not have any more.
func (d *deployer) forget(ctx context.Context, f *documents.Version) error {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	if d.files.Load() != f {
		return nil // newer files may have a server that these do not, and its rules are there already
	}
	var ids []string
	for _, s := range f.Catalog.Servers {
		ids = append(ids, s.ID)
	}
	return d.runner.Retain(ctx, ids)
}

// publishOne puts the rules of a server in force before it is asked for, where the catalog has it.
func (d *deployer) publishOne(ctx context.Context, server string) {
	f := d.files.Load()
	if _, ok := f.Catalog.Server(server); !ok {
		return
	}
	asking, cancel := context.WithTimeout(ctx, firstPatience)
	defer cancel()
	issuers := f.Verifier.Snapshot(asking)
	d.publishing.Lock()
	defer d.publishing.Unlock()
	if d.files.Load() == f { // else newer ones were published meanwhile
		d.publishThese(ctx, f, issuers, func(s catalog.Server) bool { return s.ID == server })
	}
}

// publish puts a server's rules in force if they differ from those that are.
func (d *deployer) publish(ctx context.Context, c *catalog.Catalog, p *catalog.Platform, s catalog.Server, issuers []identity.Issuer) error {
	before, err := d.published(s.ID)
	if err != nil {
		// Not ours, or of an older form: whatever it says, ours is in force from now on.
		d.log.Warn("rules replaced that cannot be read", "server", s.ID, "error", err)
	}
	now := deploy.MakeRules(s, c, p, keepKeys(issuers, before.Issuers), before.Version)
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

// deployAll puts the plans of everything in force that is there, or could be without anybody asking for it, and ends what
// the catalog no longer has, or says that nobody uses any more.
func (d *deployer) deployAll(ctx context.Context, c *catalog.Catalog) error {
	list, err := d.runner.List(ctx)
	if err != nil {
		return err
	}
	keys, there := map[deploy.KeyID]deploy.Key{}, map[deploy.KeyID]deploy.Status{}
	for _, instance := range list {
		keys[instance.Key.ID()], there[instance.Key.ID()] = instance.Key, instance
	}
	for _, s := range c.Servers {
		if key := (deploy.Key{Server: s.ID}); !s.Instances.PerUser {
			keys[key.ID()] = key
		}
	}
	var problems []error
	for id, key := range keys {
		instance, is := there[id]
		plan, err := d.plan(key)
		switch {
		case err == nil && unused(c, instance, time.Now()):
			_, err = d.runner.RemoveAsleep(ctx, key, instance.AsleepSince)
		case err == nil:
			err = d.runner.Deploy(ctx, plan)
		case is:
			err = d.runner.Remove(ctx, key)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("server %s: %w", key.Server, err))
		}
	}
	return errors.Join(problems...)
}

// unused says whether a user's instance has slept for as long as its entry keeps one.
func unused(c *catalog.Catalog, instance deploy.Status, now time.Time) bool {
	s, ok := c.Server(instance.Key.Server)
	if !ok || instance.AsleepSince.IsZero() {
		return false
	}
	keep := time.Duration(s.Instances.IdleDelete)
	return keep > 0 && now.Sub(instance.AsleepSince) >= keep
}
