package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"mcpgateway/shim/authenticate"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/wake"
)

// proxy serves until ctx ends or nobody used the server for config.Idle. Both are a normal end.
func proxy(ctx context.Context, config config, out io.Writer, log *slog.Logger) error {
	holder, err := ruleset.NewHolder(ruleset.Config{Server: config.Server, Path: config.Rules, Key: config.RulesKey, Logger: log})
	if err != nil {
		return err
	}
	sealer, err := session.NewSealer(config.Server, config.SealKey)
	if err != nil {
		return err
	}
	told := ctx
	ctx, done := context.WithCancel(ctx)
	defer done()
	draining, drain := context.WithCancel(context.Background())
	defer drain()
	calls := wake.NewCounter(config.Idle, config.Startup, done)
	forwarder, err := forward.New(forward.Config{Upstream: config.Upstream, Remote: config.Remote, Sealer: sealer, CallTimeout: config.CallTimeout,
		Silence: config.Silence, Draining: draining, Busy: calls.Busy})
	if err != nil {
		return err
	}
	// Bound before anything is promised: whoever finds this address taken must not run beside the taker.
	listener, err := listen(config.Listen)
	if err != nil {
		return err
	}
	records, err := config.Audit.trail(out, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer config.Audit.leave(told, records)
	c := &chain{rules: holder, sealer: sealer, forward: forwarder, trail: records, log: log,
		authenticate: authenticate.Checker{OwnerIssuer: config.OwnerIssuer, OwnerSubject: config.OwnerSubject},
		calls:        calls}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.Handle("/", c)
	door := &door{idle: map[net.Conn]bool{}}
	server := &http.Server{Handler: door.serve(mux), ConnState: door.note, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go holder.Watch(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	return door.leave(listener, server, drain, config.Drain)
}
