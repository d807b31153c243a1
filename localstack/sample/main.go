// Command sample-server is a small MCP server to try the gateway with: a few tools, a prompt and two resources over
// streamable HTTP or stdio, in both protocol eras on one endpoint.
//
// It checks no token and keeps no data. What it shows best is what does not reach it: the tool "headers" returns every
// header of the request as this server received it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const usage = `sample-server is an MCP server to try the gateway with. It serves streamable HTTP at /mcp, or stdio.

Usage: sample-server [-addr 127.0.0.1:8090 | -stdio]

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch err := run(ctx, os.Args[1:], os.Stderr, log); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		log.Error("sample-server stopped", "err", err)
		os.Exit(1)
	}
}

// run parses args, listens and serves until ctx ends, or its input does. Help goes to help.
func run(ctx context.Context, args []string, help io.Writer, log *slog.Logger) error {
	flags := flag.NewFlagSet("sample-server", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.Usage = func() {
		fmt.Fprint(help, usage)
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "127.0.0.1:8090", "address to listen on; keep it on loopback, there is no authentication")
	anyHost := flags.Bool("insecure-any-host", false, "answer whatever host a request names: behind a proxy on loopback that keeps it, as Knative's does")
	speaks := both
	flags.Var(&speaks, "eras", "revisions of the protocol that are spoken over HTTP: both, or those of one era, legacy or modern")
	lists := flags.Duration("fresh", 0, "how long clients may take lists for the last, whoever asked: the standard is not at all")
	stdio := flags.Bool("stdio", false, "serve standard input and output instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	if *stdio {
		in, err := pollable(os.Stdin)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		return newServer(log, hosts{}, both, fresh(*lists)...).serveStdio(ctx, in, os.Stdout)
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("sample-server listening", "url", "http://"+ln.Addr().String()+"/mcp")
	return newServer(log, hosts{insecureAny: *anyHost}, speaks, fresh(*lists)...).serve(ctx, ln)
}

// pollable returns a pipe or socket as a file that Go's poller waits for, and any other file as it is: a terminal's mode is
// its shell's too. A read that blocks keeps a thread, and each message then wakes a second one to be answered.
func pollable(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return f, nil
	}
	fd, err := syscall.Dup(int(f.Fd())) // each file closes its own
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
