package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/lambdahttp"
	"mcpgateway/internal/mirror"
)

// warmPatience is how long a function may take, before its first request, to fetch what requests would wait for. All of it
// can be had later.
const warmPatience = 2 * time.Second

// namedFiles are what the gateway reads besides the platform file.
func namedFiles(platform string) []string {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil // whoever reads it next says why
	}
	return p.Files()
}

// serveEvents serves events until the process ends.
func serveEvents(g *gateway, copied *mirror.Mirror, log *slog.Logger) error {
	adapter, err := lambdahttp.New(lambdahttp.Config{Handler: command.Keeping(copied, g), Logger: log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), warmPatience)
	defer cancel()
	g.warm(ctx)
	adapter.Start()
	return nil
}

// warm fetches, all at once, what the first request would wait for: issuers' keys, and connections to the cluster. A first
// handshake takes long in a small function, and the time before the first request costs its caller nothing. What cannot be
// had in time the request fetches that needs it.
func (g *gateway) warm(ctx context.Context) {
	var all sync.WaitGroup
	began := time.Now()
	all.Go(func() { g.current.Load().verifier.Snapshot(ctx) })
	if k := g.servers.cluster; k != nil {
		for what, connect := range map[string]func(context.Context) error{"ingress": g.servers.pool.Warm, "cluster": k.Warm} {
			all.Go(func() {
				if err := connect(ctx); err != nil {
					g.log.Warn("not connected ahead", "to", what, "error", err)
				}
			})
		}
	}
	all.Wait()
	g.log.Info("ready", "took", time.Since(began), "version", version, "commit", commit)
}
