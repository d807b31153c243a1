package main

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/policy"
)

// snapshot is all that is derived from one version of the operator's documents. It never changes, so that a request is
// decided by one version and not by parts of two.
type snapshot struct {
	platform *catalog.Platform
	catalog  *catalog.Catalog
	policies *policy.Admission
	verifier *identity.Verifier
	hosts    map[string]bool // Host values that requests may have
	origins  map[string]bool // Origin values that pages may have
	kept     map[string]kept // of servers with discovery: cached
	place    *lists.Place    // where those leave what they say of themselves; nil: nowhere

	listed    []*catalog.Server // all servers by id, as the registry API lists them
	namespace string            // of their names there
	since     time.Time         // when it came in force
}

func newSnapshot(v *documents.Version) (*snapshot, error) {
	s := &snapshot{platform: v.Platform, catalog: v.Catalog, verifier: v.Verifier, since: time.Now()}
	for i := range v.Catalog.Servers {
		s.listed = append(s.listed, &v.Catalog.Servers[i])
	}
	slices.SortFunc(s.listed, func(a, b *catalog.Server) int { return strings.Compare(a.ID, b.ID) })
	var err error
	if s.namespace, err = namespaceOf(v.Platform.PublicURL); err != nil {
		return nil, err
	}
	if s.policies, err = policy.CompileAdmission(v.Catalog.Policies, v.Platform.Issuers); err != nil {
		return nil, err
	}
	if s.kept, err = keeps(v.Catalog); err != nil {
		return nil, err
	}
	if a := v.Platform.Audit; a != nil && len(s.kept) > 0 {
		if s.place, err = lists.NewPlace(a.URL, shelfWithin); err != nil {
			return nil, err
		}
	}
	s.hosts, s.origins, err = allowed(v.Platform)
	return s, err
}

// accept puts a version in force: for requests that come from now on, and for those who listen.
func (g *gateway) accept(v *documents.Version) error {
	s, err := newSnapshot(v)
	if err != nil {
		return err
	}
	if old := g.current.Swap(s); old != nil {
		g.servers.keep(old.catalog, s.catalog)
	}
	g.listeners.review(g)
	return nil
}

// listeners are the listening streams that are open. Whoever is no longer admitted must not go on hearing what a server
// says until a token expires.
type listeners struct {
	mu   sync.Mutex
	open map[*call]func() // ends it
}

// add has a stream reviewed until remove is called.
func (l *listeners) add(g *gateway, c *call, end func()) (remove func()) {
	l.mu.Lock()
	l.open[c] = end
	l.mu.Unlock()
	// A version that came in force since the call was admitted may have been reviewed already.
	if g.current.Load() != c.snapshot && !g.stillAdmits(c) {
		end()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}
}

// review ends the streams of those who may not listen any more.
func (l *listeners) review(g *gateway) {
	l.mu.Lock()
	open := maps.Clone(l.open) // to look at without the lock: keys of an issuer may have to be asked for
	l.mu.Unlock()
	for c, end := range open {
		if !g.stillAdmits(c) {
			end()
		}
	}
}

// stillAdmits asks by the version in force now whether the caller may use the instance that it was admitted to. The
// request belongs to another goroutine, so it is not looked at.
func (g *gateway) stillAdmits(c *call) bool {
	now := &call{server: c.server, who: c.who, snapshot: g.current.Load()}
	resources := now.platform.Resources(c.server)
	if now.verifier != c.verifier || !slices.Equal(resources, c.platform.Resources(c.server)) {
		var err error // its issuer, or the audience that its token was made for, may be gone
		if now.who, err = now.verifier.Verify(g.leaving, c.token, resources); err != nil {
			return false
		}
	}
	return g.admit(now) == nil && now.entry.Instances.PerUser == c.entry.Instances.PerUser
}
