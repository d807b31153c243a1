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
	"os/signal"
	"syscall"
	"time"

	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/clock"
	"mcpgateway/internal/command"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/socket"
	"mcpgateway/internal/store/bolt"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: oauth

Signs people in for MCP clients, as the platform file's oauth section says. Configured by the environment:
  PLATFORM   the platform file (platform.yaml): a path, or s3://BUCKET/KEY; what it names beside it is there too
  LISTEN     address to serve on (127.0.0.1:8081)
  PORT       instead of LISTEN: the port, on all addresses
S3 and the table in oauth.table need AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one.
RECORD_ACTIONS names a file to which each action that AWS is asked for is added, by which a role can be narrowed.
Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, and neither LISTEN nor PORT, the events of a function URL or a streaming
REST API are served instead.
The platform file and the catalog are read again when they change, and at once at SIGHUP; the oauth section needs a restart.
Logs go to stderr as JSON lines. SIGTERM ends it.
`

func main() { command.Main(help, run) }

// run wires the server and serves until a signal ends it.
func run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	at, err := command.ReadSettings("127.0.0.1:8081")
	if err != nil {
		return err
	}
	files, copied, err := command.Open(at.Bucket, namedFiles, documents.Config{Platform: at.Platform, Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		return err
	}
	if o := files.Current().Platform.OAuth; at.Function && (o == nil || o.Table == "") {
		return errors.New("a function keeps no file: name a table by oauth.table in the platform file")
	}
	kept, err := openStore(files.Current().Platform, clock.Wall)
	if err != nil {
		return err
	}
	defer kept.Close()
	s, err := newServer(files.Current(), kept, log, clock.Wall)
	if err != nil {
		return err
	}
	files.Accept = s.accept
	if at.Function {
		return s.serveEvents(copied)
	}
	command.Watch(ctx, files, copied)
	if file, is := kept.(*bolt.Store); is {
		go sweep(ctx, file, log)
	}
	closeSocket, err := s.serveOperators()
	if err != nil {
		return err
	}
	defer closeSocket() //nolint:errcheck // the process ends
	listener, err := net.Listen("tcp", at.Address)
	if err != nil {
		return fmt.Errorf("%w; LISTEN or PORT chooses another address", err)
	}
	log.Info("serving", "address", listener.Addr().String(), "version", version, "commit", commit)
	return serve(ctx, listener, s)
}

// serveOperators answers who may use this machine's files, where there are some: who shares a table writes to that.
func (s *server) serveOperators() (closeSocket func() error, err error) {
	o := s.documents.Load().Platform.OAuth
	if o.Table != "" {
		return func() error { return nil }, nil
	}
	private, err := socket.Listen(operate.Socket(o.State))
	if err != nil {
		return nil, err
	}
	go func() {
		if err := operate.Serve(private, s.grants.RevokePerson); err != nil {
			s.log.Error("operators are not answered", "error", err)
		}
	}()
	return private.Close, nil
}

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
	return command.Serve(ctx, h, l, drainTimeout)
}
