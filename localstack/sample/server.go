package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// drain is how long calls under way may take to finish after SIGTERM. The process deployer kills after 10 s.
const drain = 8 * time.Second

// sampleServer is the MCP server behind its HTTP listener.
type sampleServer struct {
	mcp  *mcpserver.MCPServer
	http *http.Server
	// stopping ends when the server begins to shut down. Listeners end with it; calls under way do not.
	stopping context.Context
	stop     context.CancelFunc
	streams  *mcpserver.StreamableHTTPServer
}

// hosts says which hosts a request may name. A page that a browser shows can reach loopback under a name of its own
// (DNS rebinding), so what comes over loopback must name it, but for insecureAny.
type hosts struct{ insecureAny bool }

// fresh has clients take lists for the last for a while, and for those of everybody (MCP 2026-07-28, caching).
func fresh(lists time.Duration) []mcpserver.ServerOption {
	if lists == 0 {
		return nil
	}
	return []mcpserver.ServerOption{mcpserver.WithCacheHints(lists.Milliseconds(), mcp.CacheScopePublic)}
}

// newServer makes the server with all that it offers. Sessions are not kept: an id from before a sleep stays good.
func newServer(log *slog.Logger, may hosts, speaks eras, more ...mcpserver.ServerOption) *sampleServer {
	s := &sampleServer{mcp: mcpserver.NewMCPServer("sample-server", "1.0.0", append(more,
		mcpserver.WithToolCapabilities(true),
		mcpserver.WithPromptCapabilities(false),
		mcpserver.WithResourceCapabilities(false, false),
		mcpserver.WithLogging(),
		mcpserver.WithRecovery(),
		mcpserver.WithInstructions("A server to try the gateway with. Call the tool \"headers\" to see what reaches it."),
	)...)}
	addTools(s.mcp)
	addPrompts(s.mcp)
	addResources(s.mcp)

	s.stopping, s.stop = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.streams = mcpserver.NewStreamableHTTPServer(s.mcp,
		mcpserver.WithStreamableHTTPServer(s.http),
		mcpserver.WithDisableLocalhostProtection(may.insecureAny),
		mcpserver.WithStreamableHTTPLogger(log))
	mux.Handle("/mcp", speaks.speak(s.endListeners(s.streams)))
	return s
}

// endListeners gives modern listening streams a context that ends when the server stops: they would otherwise hold up
// the shutdown for as long as their client stays. Legacy ones are ended by StreamableHTTPServer.Shutdown.
func (s *sampleServer) endListeners(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(mcp.HeaderMethod) != string(mcp.MethodSubscriptionsListen) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.stopping, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// serve answers on ln until ctx ends, then lets calls under way finish.
func (s *sampleServer) serve(ctx context.Context, ln net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	limit, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.streams.Shutdown(limit); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), s.http.Close())
	}
	return nil
}

// serveStdio answers one client, line by line, until ctx or the input ends.
func (s *sampleServer) serveStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	if err := mcpserver.NewStdioServer(s.mcp).Listen(ctx, in, out); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve stdio: %w", err)
	}
	return nil
}
