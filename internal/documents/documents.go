// Package documents keeps the operator's two documents, platform and catalog, in force: it reads them, looks whether
// they changed, and hands a new version to whoever works by it. A version with a mistake changes nothing.
//
// It only reads. What follows from a version is the business of gateway and deployer, which share it.
package documents

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
)

// Version is what the operator wrote, as it was read at one time. It never changes.
type Version struct {
	Platform *catalog.Platform
	Catalog  *catalog.Catalog
	Verifier *identity.Verifier // the one of the version before where the issuers are the same
}

// New makes the version that follows before, which may be nil.
func New(p *catalog.Platform, c *catalog.Catalog, before *Version, log *slog.Logger) (*Version, error) {
	v := &Version{Platform: p, Catalog: c}
	config := identity.Config{Issuers: p.Issuers, Logger: log}
	if before != nil {
		if reflect.DeepEqual(p.Issuers, before.Platform.Issuers) {
			v.Verifier = before.Verifier
			return v, nil
		}
		config.Before = before.Verifier
	}
	var err error
	v.Verifier, err = identity.NewVerifier(config)
	return v, err
}

// Keeper has the version in force.
type Keeper struct {
	// Accept puts a version in force. With an error the one before stays. It must be set before the first look, is never
	// called twice at once, and must not ask the Keeper.
	Accept func(*Version) error

	path  string // of the platform file
	check catalog.ConditionCheck
	log   *slog.Logger

	mu       sync.Mutex // held while it looks
	current  *Version
	started  *catalog.Platform // that the program was started with
	catalog  string            // that the platform names, also where its version was refused
	seen     sight             // of the last look
	settled  bool              // what was seen then was read, and not in the moment in which it was written
	decided  digest            // what was put in force, or refused, last
	awaiting digest            // read once: if it is the same at the next look it is whole
}

// Config is what a Keeper needs; all fields are required.
type Config struct {
	Platform   string                 // the platform file, which names the catalog
	Conditions catalog.ConditionCheck // of policies
	Logger     *slog.Logger
}

// Open reads the documents for the first time. The error names everything that is wrong with them.
func Open(c Config) (*Keeper, error) {
	if c.Platform == "" {
		return nil, errors.New("PLATFORM is not set: it must name the platform file")
	}
	if c.Conditions == nil || c.Logger == nil {
		return nil, errors.New("documents: a check of conditions and a logger are required")
	}
	k := &Keeper{path: c.Platform, check: c.Conditions, log: c.Logger}
	k.follow()
	read := k.read()
	v, err := k.load()
	if err != nil {
		return nil, err
	}
	k.current, k.started = v, v.Platform
	if k.read() == read { // else the first looks decide
		k.decided = read
	}
	return k, nil
}

// follow finds out which catalog the platform names, and tells whether that is another one than before.
func (k *Keeper) follow() (changed bool) {
	p, err := catalog.LoadPlatform(k.path)
	if err != nil || p.Catalog == k.catalog {
		return false
	}
	k.catalog = p.Catalog
	return true
}

// Current is the version in force.
func (k *Keeper) Current() *Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// load reads a version.
func (k *Keeper) load() (*Version, error) {
	p, err := catalog.LoadPlatform(k.path)
	if err != nil {
		return nil, err
	}
	c, err := catalog.LoadCatalog(p.Catalog, p, k.check)
	if err != nil {
		return nil, err
	}
	return New(p, c, k.current, k.log)
}

// take puts what the files hold in force, or says why not.
func (k *Keeper) take() {
	v, err := k.load()
	if err == nil {
		err = k.Accept(v)
	}
	if err != nil {
		k.log.Error("documents not read again, the old version stays in force", "problems", lines(err))
		return
	}
	k.current = v
	if v.Platform.Deployer != k.started.Deployer {
		k.log.Warn("a change of the platform's deployer section needs a restart")
	}
	k.log.Info("documents in force", "servers", len(v.Catalog.Servers), "policies", len(v.Catalog.Policies))
}

// maxLines bounds what is logged of one mistaken version.
const maxLines = 50

// lines are the problems of a version, each with its file and line.
func lines(err error) []string {
	problems, ok := errors.AsType[catalog.Problems](err)
	if !ok {
		return []string{err.Error()}
	}
	var out []string
	for i, p := range problems {
		if i == maxLines {
			return append(out, fmt.Sprintf("and %d more", len(problems)-i))
		}
		out = append(out, p.String())
	}
	return out
}
