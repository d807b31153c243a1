package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"mcpgateway/internal/detach"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/socket"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/authenticate"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/era"
	"mcpgateway/shim/filter"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/observe"
	"mcpgateway/shim/publish"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
	"mcpgateway/shim/task"
	"mcpgateway/shim/wake"
)

// writePatience is how long a listener may take to read what one write sends.
const writePatience = 60 * time.Second

// What is remembered of who started which task: two megabytes at most.
const (
	maxTasks  = 10_000
	keepTasks = 24 * time.Hour
)

// proxy serves until ctx ends or nobody used the server for config.Idle. Both are a normal end.
func proxy(ctx context.Context, config config, out io.Writer, log *slog.Logger) error {
	// Bound before all else: whoever finds this address taken must not run beside the taker, which in a pod looks as if the
	// shim were ready, for as long as it runs.
	listener, err := listen(config.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // it may be closed already
	measured, observer, err := measure(ctx, config, log)
	if err != nil {
		return err
	}
	defer measured.Stop(log)
	told := ctx
	ctx, done := context.WithCancel(ctx)
	defer done()
	draining, drain := context.WithCancel(context.Background())
	defer drain()
	c, err := newChain(config, wake.NewCounter(config.Idle, config.Startup, done), draining, observer, log)
	if err != nil {
		return err
	}
	defer c.detached.Close() //nolint:errcheck // the process ends
	if c.trail, err = config.Audit.trail(out, log); err != nil {
		return err
	}
	defer config.Audit.leave(told, c.trail)
	defer c.leaveStates()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.HandleFunc("GET "+livePath, func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", c)
	door := &door{detached: c.detached}
	server := newServer(door.serve(mux), log)
	server.ConnState = door.connections.Note
	go c.rules.Watch(ctx)
	if c.publisher != nil {
		go c.publisher.First(ctx)
		defer c.publisher.Last()
	}
	if err := serveUntil(ctx, server, listener); err != nil {
		return err
	}
	return door.leave(listener, server, drain, config.Drain)
}

// newChain makes the stages; its trail is for the caller to begin, once nobody else can serve in its place.
func newChain(config config, calls *wake.Counter, draining context.Context, observer *observe.Observer, log *slog.Logger) (*chain, error) {
	holder, err := ruleset.NewHolder(ruleset.Config{Server: config.Server, Path: config.Rules, Key: config.RulesKey, Logger: log,
		Secrets: config.Secrets, Exchanging: observer.TokenExchange})
	if err != nil {
		return nil, err
	}
	sealer, living, err := config.sessions()
	if err != nil {
		return nil, err
	}
	states, err := config.states(sealer, living, observer, log)
	if err != nil {
		return nil, err
	}
	tasks, err := task.NewOwners(task.Config{Max: maxTasks, PerUser: maxTasks / 10, Keep: keepTasks, Now: time.Now})
	if err != nil {
		return nil, err
	}
	authorizer := authorize.Checker{Tasks: tasks, Logger: log}
	filters, err := filter.New(filter.Config{Sockets: config.Filters, Remote: remote.Remote{ConnectTimeout: connectTimeout}, Logger: log,
		Outgoing: observer.Filter, OAuth: config.Secrets.OAuth, Exchanging: observer.TokenExchange})
	if err != nil {
		return nil, err
	}
	eras, err := config.eras(log)
	if err != nil {
		return nil, err
	}
	forwarder, err := forward.New(forward.Config{Upstream: config.Upstream, Remote: config.Remote, Sealer: sealer, Living: living, States: states, Eras: eras,
		Authorize: authorizer, CallTimeout: config.CallTimeout,
		Silence: config.Silence, Draining: draining, Outgoing: observer.Outgoing, Busy: calls.Busy, Review: filters.Answers})
	if err != nil {
		return nil, err
	}
	detached, err := detach.NewHolder(writePatience)
	if err != nil {
		return nil, err
	}
	publisher, err := config.publisher(holder, forwarder, eras, log)
	if err != nil {
		return nil, err
	}
	return &chain{rules: holder, gateway: config.Gateway, sealer: sealer, living: living, states: states, filters: filters, forward: forwarder, observe: observer, log: log,
		authenticate: authenticate.Checker{OwnerIssuer: config.OwnerIssuer, OwnerSubject: config.OwnerSubject},
		authorize:    authorizer, calls: calls, detached: detached, lists: config.Lists, publisher: publisher}, nil
}

// publisher leaves what the server says of itself for the gateway; nil where it does not.
func (c config) publisher(rules *ruleset.Holder, f *forward.Forwarder, eras *era.Translator, log *slog.Logger) (*publish.Publisher, error) {
	if c.Lists == nil {
		return nil, nil
	}
	place, err := lists.NewPlace(c.Audit.URL, sinkTimeout)
	if err != nil {
		return nil, err
	}
	return publish.New(publish.Config{Server: c.Server, Revision: c.Revision, Place: place, Credential: c.Audit.Credential, Key: c.Lists,
		Rules: rules.Current, Ready: f.Ready, Ask: f.Ask, Speaks: eras.Speaks, Logger: log})
}

// sessions is what seals their ids, and what has them outlive the server, as far as either is to be.
func (c config) sessions() (*session.Sealer, *session.Living, error) {
	if c.Sessions == sessionsNone {
		return nil, nil, nil
	}
	sealer, err := session.NewSealer(c.Server, c.SealKeys...)
	if err != nil || c.Sessions != sessionsSurvive {
		return sealer, nil, err
	}
	return sealer, session.NewLiving(), nil
}

// states is what has what clients asked of their sessions outlive the server; nil where nothing has.
func (c config) states(sealer *session.Sealer, living *session.Living, o *observe.Observer, log *slog.Logger) (*state.Keeper, error) {
	if living == nil || c.SessionStore == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	return state.New(state.Config{Store: c.SessionStore, Sealer: sealer, Life: living.Life(), Observed: o.SessionRecord, Logger: log})
}

// recheckEra is after how long a server that runs elsewhere is asked again which era it speaks.
const recheckEra = 10 * time.Minute

// eras translates for clients of another era than the server's.
func (c config) eras(log *slog.Logger) (*era.Translator, error) {
	e := era.Config{Server: c.Server, Logger: log}
	if c.Remote != nil {
		e.Recheck = recheckEra
	}
	return era.New(e)
}

// measure begins to tell operators how exchanges go, where anybody is to be told.
func measure(ctx context.Context, config config, log *slog.Logger) (*telemetry.Telemetry, *observe.Observer, error) {
	t, err := telemetry.Start(ctx, config.Telemetry)
	if err != nil {
		return nil, nil, err
	}
	if config.Metrics != "" {
		listener, err := socket.ListenAt(config.Metrics)
		if err != nil {
			return nil, nil, fmt.Errorf("metrics: %w", err)
		}
		go t.Serve(ctx, listener, log)
	}
	observer, err := observe.New(t)
	return t, observer, err
}
