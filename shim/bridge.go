package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"mcpgateway/internal/procgroup"
	"mcpgateway/shim/bridge"
)

const bridgeVariables = `  SHIM_LISTEN          unix:PATH or HOST:PORT to serve on, for the shim alone
  SHIM_CHILD           session: a process for each session (standard); shared: one for all
  SHIM_CHILD_MAX       processes at once where each session has its own (8)
`

type bridgeConfig struct {
	Listen string
	Shared bool
	Max    int
}

// readBridgeConfig reads the environment and reports every problem at once.
func readBridgeConfig(getenv func(string) string) (bridgeConfig, error) {
	c := bridgeConfig{Listen: getenv("SHIM_LISTEN"), Max: 8}
	var problems []error
	if c.Listen == "" {
		problems = append(problems, errors.New("SHIM_LISTEN: not set"))
	}
	switch getenv("SHIM_CHILD") {
	case "", "session":
	case "shared":
		c.Shared = true
	default:
		problems = append(problems, errors.New("SHIM_CHILD: must be session or shared"))
	}
	if v := getenv("SHIM_CHILD_MAX"); v != "" {
		var err error
		if c.Max, err = strconv.Atoi(v); err != nil || c.Max < 1 || c.Max > 10_000 {
			problems = append(problems, errors.New("SHIM_CHILD_MAX: must be a number from 1 to 10000"))
		}
	}
	return c, errors.Join(problems...)
}

// runBridge serves until ctx ends, and then ends the server's processes. It runs Go code on one thread at a time unless
// GOMAXPROCS says otherwise: a message keeps a processor busy for microseconds, and with more, each wakes a second thread
// that finds nothing to do, on a processor that the server could have.
func runBridge(ctx context.Context, config bridgeConfig, command []string, log *slog.Logger) error {
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SHIM_") })
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if err := procgroup.AdoptOrphans(); err != nil {
		return err
	}
	b, err := bridge.New(bridge.Config{Command: command, Env: environment, Shared: config.Shared, Max: config.Max, Orphans: true, Logger: log})
	if err != nil {
		return err
	}
	listener, err := listen(config.Listen)
	if err != nil {
		return err
	}
	server := newServer(b, log)
	if err = serveUntil(ctx, server, listener); err == nil {
		listener.withdraw()
	}
	b.Stop() // the shim has let its calls end before: who still waits is told that the server ended
	return errors.Join(err, server.Close())
}
