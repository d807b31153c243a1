// Command deployer makes the servers of the catalog run, as processes of this machine, as containers of its engine or in a
// cluster, and puts their rules in force.
//
// It faces nobody: the gateway asks over a private socket, or over the cluster's network, where it shows the token of its
// service account. It asks by name only, and what a name means stands in the catalog that the deployer reads itself. It
// serves no MCP and sees no caller's token.
package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mcpgateway/internal/command"
	"mcpgateway/internal/deploy/process"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/socket"
)

// What was built, as make package says.
var version, commit = "devel", "unknown"

const help = `usage: deployer

Runs the servers of the catalog when the gateway asks for them. Configured by the environment:
  PLATFORM   the platform file (platform.yaml), which names the catalog and the folders for state and secrets; on Lambda it may be
             s3://BUCKET/KEY, and what it names beside it is there too
  SHIM       the shim's program (the file "shim" beside this one), where servers run on this machine; in containers it must be static
  DOCKER_HOST
             where the engine answers that runs servers, with deployer.docker in the platform file that does not say it
  SERVER_USERS
             FIRST-LAST, numbers of users that nothing else on this machine uses: every server gets one of its own, and can
             read neither the files and memory of shims nor those of other servers. Needs Linux and root; not set: servers
             run as the deployer does
Where AWS_LAMBDA_RUNTIME_API is set, as on Lambda, it answers invocations: of the gateway, and scheduled events of EventBridge,
with which it compares what runs with the files. Logs go to stderr as JSON lines. The files are read again when they change, and at once at SIGHUP; with a mistake in them
the version before stays in force. SIGTERM stops all servers of this machine; when the deployer is killed instead,
they go on, and the next deployer finds them. What is in a cluster goes on in any case.
`

// supervise is the argument with which the deployer starts itself, once for each instance.
const supervise = "supervise"

func main() {
	if len(os.Args) == 2 && os.Args[1] == supervise {
		os.Exit(process.Supervise())
	}
	command.Main(help, func(log *slog.Logger) error {
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		// Who reads the log may be killed, and then we must not end at the next line, but stop the servers. The signal is
		// caught and not ignored, since servers would inherit that.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		return run(signals, log)
	})
}

// servers are what a runner keeps, beyond single plans.
type servers interface {
	runner
	// StopAll ends what would be nobody's without a deployer. Who ends ctx does not want to wait for calls under way.
	StopAll(ctx context.Context) error
	Close() error
}

// run wires the deployer and serves until a signal stops it, or as a function.
func run(signals <-chan os.Signal, log *slog.Logger) error {
	files, copied, err := openDocuments(log)
	if err != nil {
		return err
	}
	first := files.Current()
	platform := first.Platform
	runner, err := newRunner(platform, log)
	if err != nil {
		return err
	}
	defer runner.Close()
	seed, err := rulesSeed(platform.Deployer)
	if err != nil {
		return fmt.Errorf("read the key that signs rules: %w", err)
	}
	d := &deployer{runner: runner, key: ed25519.NewKeyFromSeed(seed), log: log, changed: make(chan struct{}, 1),
		latecomers: newLatecomers(lookAt(files, copied, log))}
	d.files.Store(first)
	files.Accept = d.accept
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		signal.Reset(syscall.SIGTERM, syscall.SIGINT) // there is nothing to stop
		return d.serveInvocations(copied)
	}
	// Before anybody can ask: no instance starts without rules. Issuers that do not answer at once come later.
	d.reconcile(context.Background(), firstPatience)
	handler, err := newHandler(d, platform.Deployer)
	if err != nil {
		return err
	}
	address := listenAddress(platform.Deployer)
	listener, err := socket.ListenAt(address)
	if err != nil {
		return err
	}
	log.Info("serving", "address", address, "servers", len(first.Catalog.Servers), "version", version, "commit", commit)
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	return serve(d, server, files, runner, listener, signals)
}

// serve answers and reconciles until it is told to stop, and then stops every server. Who tells it twice does not want
// to wait for calls under way.
func serve(d *deployer, server *http.Server, files *documents.Keeper, runner servers, l net.Listener, signals <-chan os.Signal) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again := make(chan os.Signal, 1)
	go files.Watch(ctx, documents.Every, again)
	go d.keepReconciling(ctx)
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serve: %w", err)
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				select {
				case again <- sig:
				default: // one is waiting already
				}
				continue
			}
			cancel()
			return errors.Join(stopAll(runner, signals), server.Close())
		}
	}
}

func stopAll(runner servers, signals <-chan os.Signal) error {
	ctx, hurry := context.WithCancel(context.Background())
	defer hurry()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					hurry()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := runner.StopAll(ctx); err != nil {
		return fmt.Errorf("stop servers: %w", err)
	}
	return nil
}
