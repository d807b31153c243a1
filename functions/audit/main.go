// Command audit receives the audit records of shims, keeps each once, and lets auditors find them.
//
// It decides nothing about calls and hears of them only when they are over. A server's shim brings records of its own server
// only, and reads none.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"mcpgateway/functions/audit/store/local"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/clock"
	"mcpgateway/internal/command"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/socket"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: audit
       audit token ID   prints the token that the shim of a server shows, and its entry's own store holds (audit.secret)

Keeps audit records as the platform file's audit.store says, and serves POST and GET /audit. Configured by the environment:
  PLATFORM   the platform file (platform.yaml): a path, or s3://BUCKET/KEY; what it names beside it is there too
  LISTEN     address to serve on (127.0.0.1:8083)
  PORT       instead of LISTEN: the port, on all addresses
Where audit.url is unix:PATH, it serves there, too, for shims of other users of this machine.
S3 and DynamoDB need AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one.
RECORD_ACTIONS names a file to which each action that AWS is asked for is added, by which a role can be narrowed.
Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, and neither LISTEN nor PORT, the events of a function URL or a streaming
REST API are served instead, with ORIGIN_SECRETS as the gateway has them. Logs go to stderr as JSON lines. SIGTERM ends it.
`

func main() { command.MainOfKeeper(help, run) }

// run serves until a signal ends it, or prints the token of a server's shim.
func run(shim string, stdout io.Writer, log *slog.Logger) error {
	at, err := command.ReadSettings("127.0.0.1:8083")
	if err != nil {
		return err
	}
	files, copied, err := command.Open(at.Bucket, namedFiles, documents.Config{Platform: at.Platform, Conditions: catalog.LeaveConditions, Logger: log})
	if err != nil {
		return err
	}
	platform := files.Current().Platform
	c, err := settingsOf(platform)
	if err != nil {
		return err
	}
	if shim != "" {
		t, err := readTokens(c)
		if err == nil {
			fmt.Fprintln(stdout, t.Of(shim))
		}
		return err
	}
	if at.Function && c.Table == "" {
		return errors.New("a function keeps no file: name audit.store.table and bucket in the platform file")
	}
	kept, err := openStore(platform, clock.Wall)
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	command.Watch(ctx, files, copied)
	if folder, is := kept.(*local.Store); is {
		go s.sweep(ctx, folder)
	}
	return s.serve(ctx, at.Address, platform.Audit.Socket())
}

// sweep keeps a folder from growing by what is older than it is to be kept.
func (s *server) sweep(ctx context.Context, folder *local.Store) {
	for {
		if err := folder.Sweep(s.now().Add(-s.keep)); err != nil {
			s.log.Warn("records not swept", "error", err)
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

// serve serves on an address, and on the socket at path where there is one.
func (s *server) serve(ctx context.Context, address, path string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; LISTEN or PORT chooses another address", err)
	}
	s.log.Info("serving", "address", listener.Addr().String(), "version", version, "commit", commit)
	h := &http.Server{Handler: s, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	if path != "" {
		shims, err := listenForShims(path)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		go h.Serve(shims) //nolint:errcheck // it ends as the other does
	}
	return command.Serve(ctx, h, listener, drainTimeout)
}

// listenForShims makes the socket on which shims bring records, which may run as other users: the folder's own folder says who
// of this machine comes so far, and the token who is heard.
func listenForShims(path string) (net.Listener, error) {
	l, err := socket.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("audit.url: %w", err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(path), 0o711), os.Chmod(path, 0o666)); err != nil {
		return nil, errors.Join(fmt.Errorf("audit.url: %w", err), l.Close())
	}
	return l, nil
}
