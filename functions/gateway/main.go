// Command gateway is the one door to all MCP servers of an organisation: it authenticates people, admits them, makes
// sure that the server they ask for runs, and streams their requests to it unchanged.
//
// It may start nothing itself (the deployer does, asked by name), holds no secret, and decides nothing about single
// messages (the shim beside each server does).
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
)

const help = `usage: gateway

Serves /mcp-connect/{id} for every server of the catalog. Configured by the environment:
  PLATFORM       the platform file (platform.yaml), which names the catalog and the deployer
  LISTEN         address to serve on (127.0.0.1:8080)
  PORT           instead of LISTEN: the port, on all addresses
  STATUS_SOCKET  a Unix socket that tells its owner what is under way, as JSON; without it nobody is told
The platform file and the catalog are read again when they change, and at once at SIGHUP; with a mistake in them the
version before stays in force. Logs go to stderr and audit records to stdout, as JSON lines.
`

func main() {
	defer runtime.KeepAlive(paceGC())
	if len(os.Args) > 1 {
		fmt.Fprint(os.Stderr, help)
		if os.Args[1] != "--help" && os.Args[1] != "-h" {
			os.Exit(2)
		}
		return
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	slog.SetDefault(log)
	if err := run(log); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// paceGC has the garbage collected after every 16 MB and a tenth of what is in use, unless GOGC says otherwise. The heap
// is a few megabytes: to collect it whenever it doubles costs calls more than it saves. To let it grow fivefold instead
// would have each listener cost five times what it holds. The pace comes from a ballast that is never touched, and so
// takes no memory; it must be kept.
func paceGC() (ballast []byte) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(10)
	return make([]byte, 160<<20)
}

func run(log *slog.Logger) error {
	files, err := documents.Open(documents.Config{Platform: os.Getenv("PLATFORM"), Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		return err
	}
	first := files.Current()
	g, err := newGateway(first, deploy.NewClient(first.Platform.Deployer.Socket), log)
	if err != nil {
		return err
	}
	if path := os.Getenv("STATUS_SOCKET"); path != "" {
		closeTraffic, err := g.serveTraffic(path)
		if err != nil {
			return err
		}
		defer closeTraffic() //nolint:errcheck // the process ends
	}
	files.Accept = g.accept
	address := os.Getenv("LISTEN")
	if port := os.Getenv("PORT"); port != "" && address == "" {
		address = ":" + port
	} else if address == "" {
		address = "127.0.0.1:8080"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; LISTEN or PORT chooses another address", address, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go files.Watch(ctx, documents.Every, hangup)
	return serve(ctx, listener, g)
}

// newGateway wires the handler.
func newGateway(v *documents.Version, d deployer, log *slog.Logger) (*gateway, error) {
	g := &gateway{servers: newServers(d, log), limits: newLimits(), listeners: &listeners{open: map[*call]func(){}},
		audit: audit.NewLog(os.Stdout), log: log, keepAlive: keepAlive, poll: poll}
	g.leaving, g.leave = context.WithCancel(context.Background())
	return g, g.accept(v)
}

// newServer sets the bounds of what a client may cost before its request is there.
func newServer(handler http.Handler, log *log.Logger) *http.Server {
	return &http.Server{
		Handler:        handler,
		ReadTimeout:    30 * time.Second, // until the body is read: net/http lifts it then
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       log,
	}
}

// drain is how long calls under way may go on after the process was told to stop.
const drain = 10 * time.Second

// serve serves until ctx ends, and then lets calls under way end.
func serve(ctx context.Context, listener net.Listener, g *gateway) error {
	server := newServer(g, slog.NewLogLogger(g.log.Handler(), slog.LevelWarn))
	server.RegisterOnShutdown(g.leave) // listeners would never end by themselves
	g.log.Info("serving", "address", listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		g.detached.Wait() // the server knows of them no more
		close(ended)
	}()
	select {
	case <-ended:
	case <-stopping.Done():
	}
	return server.Close()
}
