// Command shim stands beside every MCP server. "shim proxy" governs what goes through: it verifies the caller's token,
// decides on every message, keeps credentials and session ids from both sides, records each exchange, and says when
// nobody uses the server any more. "shim bridge" makes a server that speaks stdio one that speaks HTTP.
//
// It holds no catalog and trusts nothing in front of it; what it knows is in its environment (config.go) and in the
// signed rules.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"mcpgateway/internal/garbage"
)

const usage = `usage: shim proxy
       shim bridge -- PROGRAM [ARGUMENT...]
       shim webhook

proxy governs one MCP server. Configured by the environment:
` + variables + `
bridge starts an MCP server that speaks stdio, and makes it one that speaks streamable HTTP. PROGRAM gets the environment
of the bridge without its SHIM_ variables. Configured by the environment:
` + bridgeVariables + `
webhook makes a filter, which is an MCP server, of an HTTP webhook. Configured by the environment:
` + webhookVariables

func main() {
	ballast := garbage.Pace(32<<20, 400) // there are many shims, and few listeners at most of them
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	slog.SetDefault(log)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], log)
	stop()
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// run does what the arguments say, and returns the status to exit with: 2 where it was told nonsense.
func run(ctx context.Context, args []string, log *slog.Logger) int {
	switch {
	case len(args) == 1 && args[0] == "proxy":
		config, err := readConfig(os.Getenv)
		if err != nil {
			return misled(os.Stderr, err)
		}
		return ended(proxy(ctx, config, os.Stdout, log), log)
	case len(args) > 2 && args[0] == "bridge" && args[1] == "--":
		config, err := readBridgeConfig(os.Getenv)
		if err != nil {
			return misled(os.Stderr, err)
		}
		return ended(runBridge(ctx, config, args[2:], log), log)
	case len(args) == 1 && args[0] == "webhook":
		config, err := readWebhookConfig(os.Getenv)
		if err != nil {
			return misled(os.Stderr, err)
		}
		return ended(runWebhook(ctx, config, log), log)
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Fprint(os.Stdout, usage)
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}

func misled(w io.Writer, err error) int {
	fmt.Fprintln(w, err)
	return 2
}

func ended(err error, log *slog.Logger) int {
	if err != nil {
		log.Error("shim stopped", "error", err)
		return 1
	}
	return 0
}
