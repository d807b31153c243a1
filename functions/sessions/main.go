// Command sessions keeps what must outlive the pod of an MCP server that sleeps: for each session, what its client asked for.
//
// It knows neither sessions nor clients. A server's shim writes and reads records of its own server only; what is in one is
// sealed with that shim's keys, and found by a hash of an id that is sealed too. It decides nothing about calls.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/clock"
	"mcpgateway/internal/command"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/lambdahttp"
	"mcpgateway/internal/mirror"
	"mcpgateway/internal/socket"
	"mcpgateway/internal/store/bolt"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: sessions
       sessions token ID   prints the token that the shim of a server shows, for where no deployer hands it over

Keeps what shims remember of sessions, as the platform file's sessions says, and serves GET and PUT /sessions/NAME. Configured by the
environment:
  PLATFORM   the platform file (platform.yaml): a path, or s3://BUCKET/KEY; what it names beside it is there too
  LISTEN     address to serve on (127.0.0.1:8084), unless sessions.url is a socket
  PORT       instead of LISTEN: the port, on all addresses
S3 and DynamoDB need AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one.
Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, and neither LISTEN nor PORT, the events of a function URL or a streaming
REST API are served instead, with ORIGIN_SECRETS as the gateway has them. Logs go to stderr as JSON lines. SIGTERM ends it.
`

func main() { command.MainOfKeeper(help, run) }

// run serves until a signal ends it, or prints the token of a server's shim.
func run(shim string, stdout io.Writer, log *slog.Logger) error {
	at, err := command.ReadSettings("127.0.0.1:8084")
	if err != nil {
		return err
	}
	files, copied, err := command.Open(at.Bucket, namedFiles, documents.Config{Platform: at.Platform, Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		return err
	}
	c := files.Current().Platform.Sessions
	switch {
	case c == nil:
		return errors.New("the platform file has no sessions section")
	case at.Function && c.Table == "":
		return errors.New("a function keeps no file: name a table by sessions.table in the platform file")
	}
	tokens, err := readTokens(c)
	if err != nil {
		return err
	}
	if shim != "" {
		fmt.Fprintln(stdout, tokens.Of(shim))
		return nil
	}
	kept, err := openStore(c, clock.Wall)
	if err != nil {
		return err
	}
	defer kept.Close()
	s := &server{store: kept, tokens: tokens, log: log, now: clock.Wall}
	if at.Function {
		return s.serveEvents(copied)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if file, is := kept.(*bolt.Store); is {
		go sweep(ctx, file, log)
	}
	return s.serve(ctx, address(c, at))
}

// address is where to serve.
func address(c *catalog.SessionStore, at command.Settings) string {
	if path := c.Socket(); path != "" {
		return "unix:" + path
	}
	return at.Address
}

// sweep keeps a file from growing by what has expired.
func sweep(ctx context.Context, file *bolt.Store, log *slog.Logger) {
	for {
		if err := file.Sweep(); err != nil {
			log.Warn("records not swept", "error", err)
		}
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			return
		}
	}
}

// drainTimeout is how long requests under way may go on.
const drainTimeout = 10 * time.Second

func (s *server) serve(ctx context.Context, address string) error {
	listener, err := socket.ListenAt(address)
	if err != nil {
		return fmt.Errorf("%w; LISTEN or PORT, or sessions.url where that is a socket, chooses another address", err)
	}
	s.log.Info("serving", "address", listener.Addr().String(), "version", version, "commit", commit)
	h := &http.Server{Handler: s, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	return command.Serve(ctx, h, listener, drainTimeout)
}

// serveEvents serves events until the process ends.
func (s *server) serveEvents(copied *mirror.Mirror) error {
	adapter, err := lambdahttp.New(lambdahttp.Config{Handler: command.Keeping(copied, s), Logger: s.log})
	if err != nil {
		return err
	}
	s.log.Info("ready", "version", version, "commit", commit)
	adapter.Start()
	return nil
}
