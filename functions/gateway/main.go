// Command gateway is the one door to all MCP servers of an organisation: it authenticates people, admits them, makes
// sure that the server they ask for runs, and streams their requests to it unchanged.
//
// It may start nothing itself (the deployer does, asked by name; in a cluster a request wakes what it is for), holds no
// server's secret, and decides nothing about single messages (the shim beside each server does).
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
	"syscall"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/drain"
	"mcpgateway/internal/garbage"
	"mcpgateway/internal/invoke"
	"mcpgateway/internal/mirror"
	"mcpgateway/internal/socket"
	"mcpgateway/internal/telemetry"
	"mcpgateway/knative/ingress"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: gateway

Serves /mcp-connect/{id} for every server of the catalog. Configured by the environment:
  PLATFORM       the platform file (platform.yaml), which names the catalog and the deployer: a path, or s3://BUCKET/KEY,
                 for which AWS_REGION and the credentials of a function are needed; what it names beside it is there too
  LISTEN         address to serve on (127.0.0.1:8080)
  PORT           instead of LISTEN: the port, on all addresses
  METRICS        unix:PATH or HOST:PORT to serve /metrics for Prometheus on; not set: nowhere
  STATUS_SOCKET  a Unix socket that tells its owner what is under way, as JSON; without it nobody is told
The platform file and the catalog are read again when they change, and at once at SIGHUP; with a mistake in them the
version before stays in force. Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, and neither LISTEN nor PORT, the events
of a function URL or a streaming REST API are served instead; ORIGIN_SECRETS, with commas between them, are those by which a front
of our own is known there, which then is believed who asks which host: all others are refused. Logs go to stderr and audit records to stdout, as JSON lines.
`

func main() { command.Main(help, run) }

// run wires the gateway and serves: HTTP, or the events of a function.
func run(log *slog.Logger) error {
	s, err := readSettings()
	files, copied, wrong := openDocuments(s, log)
	if err = errors.Join(err, wrong); err != nil {
		return err
	}
	first := files.Current()
	ctx, stop := context.Background(), func() {}
	if !s.function { // which a signal ends at once, and has one call at a time: its room for garbage would be as much to start with
		defer runtime.KeepAlive(garbage.Pace(48<<20, 10)) // there is one gateway, and thousands may listen
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	}
	defer stop()
	measured, err := measure(ctx, first.Platform.Telemetry, s.metrics, log)
	if err != nil {
		return err
	}
	defer measured.Stop(log)
	d, err := newDeployer(&first.Platform.Deployer, log)
	if err != nil {
		return err
	}
	g, err := newGateway(first, d, measured, log)
	if err != nil {
		return err
	}
	files.Accept = g.accept
	if s.function {
		return serveEvents(g, copied, log)
	}
	if s.status != "" {
		closeTraffic, err := g.serveTraffic(s.status)
		if err != nil {
			return err
		}
		defer closeTraffic() //nolint:errcheck // the process ends
	}
	listener, err := drain.Listen(s.address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; LISTEN or PORT chooses another address", s.address, err)
	}
	command.Watch(ctx, files, copied)
	return serve(ctx, listener, g)
}

// openDocuments reads the operator's documents, where they are: copied is nil where they are files.
func openDocuments(s settings, log *slog.Logger) (files *documents.Keeper, copied *mirror.Mirror, err error) {
	if s.platform == "" {
		return nil, nil, nil // the settings' problem
	}
	return command.Open(s.bucket, namedFiles, documents.Config{Platform: s.platform, Conditions: catalog.LeaveConditions, Logger: log})
}

// measure begins to tell operators how calls go, where anybody is to be told.
func measure(ctx context.Context, c catalog.Telemetry, address string, log *slog.Logger) (*telemetry.Telemetry, error) {
	t, err := telemetry.Start(ctx, telemetry.Config{Service: "gateway", Collector: c.Collector, Sampled: float64(c.Percent) / 100,
		Edge: true, Scraped: address != ""})
	if err != nil || address == "" {
		return t, err
	}
	listener, err := socket.ListenAt(address)
	if err != nil {
		return nil, fmt.Errorf("METRICS: %w", err)
	}
	go t.Serve(ctx, listener, log)
	return t, nil
}

// newDeployer finds out where servers run: beside a deployer, or in a cluster.
func newDeployer(c *catalog.Deployer, log *slog.Logger) (deployer, error) {
	client := deploy.NewClient(c.Socket)
	if c.URL != "" {
		client = deploy.NewRemoteClient(c.URL, c.Token)
	}
	if c.Function != "" {
		aws, err := awsenv.Config("LAMBDA")
		if err != nil {
			return nil, fmt.Errorf("deployer.function: %w", err)
		}
		client = deploy.NewClientOver(invoke.New(c.Function, aws))
	}
	if c.Knative == nil {
		return client, nil
	}
	in := ingress.Config{Knative: c.Knative, Deployer: client, Logger: log}
	if c.Knative.EKS != nil {
		aws, err := awsenv.Config("STS")
		if err != nil {
			return nil, fmt.Errorf("deployer.knative.eks: %w", err)
		}
		in.Identity = aws.Credentials
	}
	return ingress.New(in)
}

// newGateway wires the handler.
func newGateway(v *documents.Version, d deployer, t *telemetry.Telemetry, log *slog.Logger) (*gateway, error) {
	measures, err := newMeasures(t)
	if err != nil {
		return nil, err
	}
	g := &gateway{servers: newServers(d, log), limits: newLimits(), keys: newKeys(), listeners: &listeners{open: map[*call]func(){}},
		measures: measures, audit: audit.NewLog(os.Stdout), log: log, keepAlive: keepAlive, longWake: longWake, poll: poll}
	g.shelf = newShelf(g.servers, log)
	if g.detached, err = detach.NewHolder(writePatience); err != nil {
		return nil, err
	}
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

// drainTimeout is how long calls under way may go on after the process was told to stop.
const drainTimeout = 10 * time.Second

// silence is how long a new connection may take to send its first request once the process was told to stop.
const silence = time.Second

// arriving tells whether a request is under way on a connection, or is about to be.
func arriving(c drain.Connection) bool {
	return c.State == http.StateActive || c.State == http.StateNew && time.Since(c.Made) < silence
}

// serve serves until ctx ends, and then lets calls under way end, those of whoever is connected by then among them.
func serve(ctx context.Context, listener net.Listener, g *gateway) error {
	server := newServer(g, slog.NewLogLogger(g.log.Handler(), slog.LevelWarn))
	var connections drain.Connections
	server.ConnState = connections.Note
	g.log.Info("serving", "address", listener.Addr().String(), "version", version, "commit", commit)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	server.SetKeepAlivesEnabled(false) // before nobody can connect any more, so that each answer from then on says it
	_ = listener.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return err
	}
	g.leave() // listeners would never end by themselves
	connections.Await(stopping, arriving)
	if err := server.Shutdown(stopping); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	_ = g.detached.Wait(stopping) // what goes on is cut off
	return server.Close()
}
