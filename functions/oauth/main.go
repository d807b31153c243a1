// Command oauth is the authorization server for MCP clients, which have no client id at the organisation's identity provider
// and send parameters that it refuses. It signs people in there, asks them whether the client may act for them, and gives
// the client tokens for one server at a time.
//
// It authenticates nobody by itself and authorizes nothing at a server: who may use what is the gateway's and the shim's to
// decide, by the provider's groups. The keys that sign tokens do not leave it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mcpgateway/functions/oauth/operate"
	"mcpgateway/functions/oauth/store/bolt"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/socket"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: oauth

Signs people in for MCP clients, as the platform file's oauth section says. Configured by the environment:
  PLATFORM   the platform file (platform.yaml)
  LISTEN     address to serve on (127.0.0.1:8081)
  PORT       instead of LISTEN: the port, on all addresses
and for the table in oauth.table: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_DYNAMODB.
The platform file and the catalog are read again when they change, and at once at SIGHUP; the oauth section needs a restart.
Logs go to stderr as JSON lines. SIGTERM ends it.
`

func main() {
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

// run wires the server and serves until a signal ends it.
func run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	files, err := documents.Open(documents.Config{Platform: os.Getenv("PLATFORM"), Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		return err
	}
	kept, err := openStore(files.Current().Platform, wall)
	if err != nil {
		return err
	}
	defer kept.Close()
	s, err := newServer(files.Current(), kept, log, wall)
	if err != nil {
		return err
	}
	files.Accept = s.accept
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go files.Watch(ctx, documents.Every, hangup)
	if file, is := kept.(*bolt.Store); is {
		go sweep(ctx, file, log)
	}
	private, err := socket.Listen(operate.Socket(files.Current().Platform.OAuth.State))
	if err != nil {
		return err
	}
	defer private.Close()
	go func() {
		if err := operate.Serve(private, s.grants.RevokePerson); err != nil {
			log.Error("operators are not answered", "error", err)
		}
	}()
	listener, err := net.Listen("tcp", address())
	if err != nil {
		return fmt.Errorf("%w; LISTEN or PORT chooses another address", err)
	}
	log.Info("serving", "address", listener.Addr().String(), "version", version, "commit", commit)
	return serve(ctx, listener, s)
}

func address() string {
	if port := os.Getenv("PORT"); port != "" {
		return ":" + port
	}
	if listen := os.Getenv("LISTEN"); listen != "" {
		return listen
	}
	return "127.0.0.1:8081"
}

// wall is the time without the clock that stands still when the machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

// sweep keeps a file from growing by what has expired.
func sweep(ctx context.Context, s *bolt.Store, log *slog.Logger) {
	for {
		if err := s.Sweep(); err != nil {
			log.Warn("store not swept", "error", err)
		}
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			return
		}
	}
}

// drainTimeout is how long requests under way may go on: longer than the provider may take to answer a refresh, whose result
// must be kept.
const drainTimeout = 12 * time.Second

func serve(ctx context.Context, l net.Listener, s *server) error {
	h := &http.Server{Handler: s, ReadTimeout: 15 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return h.Close()
}
