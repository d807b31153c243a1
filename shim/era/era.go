// Package era lets clients of either era of the protocol use servers that speak only the other: modern is revision
// 2026-07-28 and later, legacy what has sessions. It stands between the shim's last stage and the server: policies, filters
// and the audit see each message in the client's own form, and what is sent here follows from a message that they let pass.
//
// An exchange whose server speaks its era goes on as it is. The package keeps its state in memory, in bounds; a request
// that may have run is never sent twice.
package era

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// Send sends an exchange to the server as it is, and returns the answer's head.
type Send func(context.Context, *call.Exchange) (*http.Response, error)

// Config is what a Translator needs.
type Config struct {
	Server  string        // its id in the catalog
	Recheck time.Duration // after which the server may be another, for one that runs elsewhere; 0: it lives as long as the shim
	Logger  *slog.Logger
}

// Translator translates between clients and one server.
type Translator struct {
	Config
	spoken atomic.Uint32 // eras, for the path of those that need no translation
	probes probes
	kept   keeper       // sessions that modern clients use without knowing
	rounds rounds       // their calls that wait for the client's input
	state  cipher.AEAD  // seals the names of those
	visits visits       // sessions of legacy clients, of which the server knows nothing
	tools  tools        // what of their arguments the server wants in headers
	last   atomic.Int64 // id of a request sent in a client's place
	wait   time.Duration
	linger time.Duration
}

// streamAfter is how long an answer is waited for until its stream begins: proxies and clients drop what is silent, and a
// stream can be kept alive.
const streamAfter = 5 * time.Second

// lingering is how long a server watches a resource after the last listener left: longer than a gateway takes that polls.
const lingering = 2 * time.Minute

// New makes a Translator.
func New(c Config) (*Translator, error) {
	if c.Server == "" || c.Logger == nil {
		return nil, errors.New("era: a server and a logger are required")
	}
	state, err := newStateSealer()
	if err != nil {
		return nil, err
	}
	t := &Translator{Config: c, state: state, wait: streamAfter, linger: lingering}
	t.kept.all, t.rounds.all, t.visits.all = map[string]*kept{}, map[handle]*parked{}, map[string]*visit{}
	return t, nil
}

// Exchange sends an exchange to the server, in the era that the server speaks, and returns an answer in the caller's. An
// error that is no *mcp.Error is the transport's or the context's.
func (t *Translator) Exchange(ctx context.Context, x *call.Exchange, send Send) (*http.Response, error) {
	era := x.Era
	if unknownRevision(x) {
		era = mcp.Modern
	}
	if eras(t.spoken.Load()).proven(era) && t.Recheck == 0 {
		return send(ctx, x)
	}
	body, err := messages(x)
	if err != nil {
		return nil, err
	}
	if sofar := t.probes.current(t.Recheck); introduces(x, body) && sofar&(speaksLegacy|lacksLegacy) == 0 {
		return t.introduce(ctx, x, body, send)
	}
	if era == mcp.Legacy && body.RequestIDs() == nil && !t.probes.current(t.Recheck).known(era) {
		return send(ctx, x) // nothing is asked for: neither is the server
	}
	found, err := t.find(ctx, x, era, send)
	switch {
	case err != nil:
		return nil, err
	case !found.known(era), found.speaks(era):
		return send(ctx, x)
	case x.Era == mcp.Modern:
		return t.toLegacy(ctx, x, body, send)
	case era == mcp.Modern:
		return unsupported(body.Messages[0].ID, x.Request.Header.Get(mcp.HeaderVersion)), nil
	}
	return t.toModern(ctx, x, body, send)
}

// messages are what an exchange's body says. Exchanges of the shim's own were not read yet.
func messages(x *call.Exchange) (mcp.Body, error) {
	if len(x.MCP.Messages) > 0 || len(x.Body) == 0 {
		return x.MCP, nil
	}
	return mcp.Parse(x.Body)
}

// unknownRevision tells whether a client speaks a revision that is none: by its header, and by its body, which says so too.
func unknownRevision(x *call.Exchange) bool {
	version := x.Request.Header.Get(mcp.HeaderVersion)
	return x.Era == mcp.Legacy && version != "" && !slices.Contains(legacyVersions, version) && len(x.MCP.Messages) == 1 &&
		x.MCP.Messages[0].Kind == mcp.Request && x.MCP.Messages[0].Params.MetaVersion != nil
}

// introduces tells whether an exchange begins a legacy session. Exchange.Initializes does not know the shim's own.
func introduces(x *call.Exchange, body mcp.Body) bool {
	return x.Era == mcp.Legacy && len(body.Messages) == 1 && body.Messages[0].Kind == mcp.Request && body.Messages[0].Method == "initialize"
}

// Speaks tells whether the server itself is known to speak an era.
func (t *Translator) Speaks(era mcp.Era) bool { return t.probes.current(t.Recheck).speaks(era) }

// eras are those that a server speaks, as far as is known.
type eras uint32

const (
	speaksLegacy eras = 1 << iota
	lacksLegacy
	speaksModern
	lacksModern
	listsLegacy // by its answer to server/discover: what it answers to initialize counts for more
)

func (e eras) speaks(era mcp.Era) bool {
	return e.proven(era) || era == mcp.Legacy && e&listsLegacy != 0
}

func (e eras) proven(era mcp.Era) bool {
	if era == mcp.Modern {
		return e&speaksModern != 0
	}
	return e&speaksLegacy != 0
}

func (e eras) known(era mcp.Era) bool {
	if era == mcp.Modern {
		return e&(speaksModern|lacksModern) != 0
	}
	return e&(speaksLegacy|lacksLegacy|listsLegacy) != 0
}

// probes are what was found out of the server.
type probes struct {
	mu     sync.Mutex
	found  eras
	at     time.Time
	flight *probing
}

// probing is one question to the server. Whoever comes while it lasts gets what comes of it.
type probing struct {
	done  chan struct{}
	found eras
	err   error
}

// current is what is known and not too old.
func (p *probes) current(recheck time.Duration) eras {
	p.mu.Lock()
	defer p.mu.Unlock()
	if recheck > 0 && time.Since(p.at) > recheck {
		p.found = 0
	}
	return p.found
}

// note adds to what is known.
func (t *Translator) note(found eras) eras {
	t.probes.mu.Lock()
	defer t.probes.mu.Unlock()
	if t.probes.found == 0 {
		t.probes.at = time.Now()
	}
	if t.probes.found |= found; found&lacksLegacy != 0 {
		t.probes.found &^= listsLegacy
	}
	t.spoken.Store(uint32(t.probes.found))
	return t.probes.found
}
