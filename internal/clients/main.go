// Command clients has MCP clients that nobody here wrote use the system as "mcpgateway run" starts it: each connects,
// lists the tools of each server, calls one and, where it can, hears of its progress while it runs.
//
// Then some of them do it with the gateway as a function behind a front that renames WWW-Authenticate, and some call once more
// after the server fell asleep, over the connection that they had.
//
// It asks whether they get on, not how fast. What a client is shown to have done is compared with what the shim recorded.
// After them come servers, clients and catalogs that do what they should not (package hostile). Refusals have tests of
// their own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"mcpgateway/internal/clients/hostile"
	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
	"mcpgateway/internal/stdiotest"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == hostile.ServerArgument {
		stdiotest.Serve(os.Args[2])
		return
	}
	bin := flag.String("bin", "bin", "folder of the built programs")
	cache := flag.String("cache", ".cache", "folder for the clients, the servers and the logs")
	containers := flag.Bool("docker", false, "only the rows of servers that are containers of the engine at DOCKER_HOST")
	at := flag.String("at", "", "only the rows of servers that somebody else runs, in a cluster, as this JSON `FILE` says (proxytest.There)")
	only := flag.String("only", "", "`PATTERN` of the rows to run, on \"server client\" or \"bad input: way\"")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *cache, *only, *containers, *at); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, cache, only string, containers bool, at string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	for _, dir := range []*string{&bin, &cache} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	out := filepath.Join(cache, "clients")
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o700)); err != nil {
		return err
	}
	ran, failed := 0, 0
	for _, s := range settings {
		s.at = at
		if s.containers != containers || s.elsewhere != (at != "") || !s.matching(pattern) {
			continue
		}
		rows, err := s.visitAll(ctx, bin, cache, out, pattern)
		if err != nil {
			return err
		}
		ran, failed = ran+len(rows), failed+printTable(os.Stdout, rows)
	}
	if !containers && at == "" && hostile.Matching(pattern) {
		rows, err := hostileRows(ctx, bin, cache, out, pattern)
		if err != nil {
			return err
		}
		ran, failed = ran+len(rows), failed+hostile.Print(os.Stdout, rows)
	}
	if failed > 0 || ran == 0 {
		return fmt.Errorf("%d of %d rows failed; logs in %s", failed, ran, out)
	}
	return ctx.Err()
}

// setting is a way to run the system, and who visits which servers there.
type setting struct {
	name       string // what follows the server in the table; may be empty
	lambda     string // the front of "mcpgateway run --lambda"; the gateway is a process where empty
	idle       string // scale.idle of the servers; where it is short, clients wait until the server sleeps and call again
	clients    []client
	servers    *regexp.Regexp
	containers bool   // servers are some, of an engine
	elsewhere  bool   // somebody else runs the system
	at         string // the file that says where
}

var settings = []setting{
	{idle: never, clients: clients, servers: regexp.MustCompile("")},
	{name: ", function", lambda: "url,remap", idle: never, clients: functionClients, servers: regexp.MustCompile("^sample$")},
	{name: ", asleep", idle: "1s", clients: sleepers, servers: regexp.MustCompile("^(sample|everything)$")},
	{name: ", container, asleep", idle: "1s", clients: sleepers, servers: regexp.MustCompile("^(sample|everything)$"), containers: true},
	{name: ", cluster, asleep", clients: sleepers, servers: regexp.MustCompile("^everything$"), elsewhere: true},
}

// never is longer than all visits take.
const never = "10m"

// visits calls visit for each client that is to visit a server.
func (s setting) visits(list []server, only *regexp.Regexp, visit func(server, client)) {
	for _, server := range list {
		for _, client := range s.clients {
			if s.servers.MatchString(server.id) && only.MatchString(server.id+s.name+" "+client.name) {
				visit(server, client)
			}
		}
	}
}

// matching tells whether a client is to visit a server.
func (s setting) matching(only *regexp.Regexp) (some bool) {
	s.visits(servers(programs{}), only, func(server, client) { some = true })
	return some
}

// hostileRows runs the rows of bad input, which need nothing of others but npm.
func hostileRows(ctx context.Context, bin, cache, out string, only *regexp.Regexp) ([]hostile.Row, error) {
	node, err := peers.Installer{Dir: cache}.Node(ctx)
	if err != nil {
		return nil, err
	}
	return hostile.Run(ctx, hostile.Config{Bin: bin, Log: filepath.Join(out, "hostile.log"), Path: programs{node: node}.path(), Only: only})
}

// visitAll starts the system and runs every client at every server, one after the other: side by side they would disturb
// each other's times.
func (s setting) visitAll(ctx context.Context, bin, cache, out string, only *regexp.Regexp) (rows []row, err error) {
	p, err := install(ctx, cache)
	if err != nil {
		return nil, err
	}
	// Sockets need a short path.
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	list := servers(p)
	if s.containers {
		list = inContainers(list)
	}
	system, err := s.start(ctx, bin, dir, list, p, filepath.Join(out, "run.log"))
	if err != nil {
		return nil, err
	}
	if !s.elsewhere {
		defer func() { err = errors.Join(err, system.Stop()) }()
	}
	s.visits(list, only, func(server server, client client) {
		if ctx.Err() != nil {
			return
		}
		r := runOne(ctx, &visit{system: system, programs: p, server: server, client: client, setting: s.name, again: s.idle != never, dir: dir, out: out})
		fmt.Println(r.line())
		rows = append(rows, r)
	})
	return rows, ctx.Err()
}

// start starts the system, or finds out where it runs.
func (s setting) start(ctx context.Context, bin, dir string, list []server, p programs, log string) (*proxytest.System, error) {
	if s.elsewhere {
		text, err := os.ReadFile(s.at)
		if err != nil {
			return nil, err
		}
		var there proxytest.There
		if err := json.Unmarshal(text, &there); err != nil {
			return nil, fmt.Errorf("%s: %w", s.at, err)
		}
		return there.System(bin), nil
	}
	config := proxytest.SystemConfig{Bin: bin, Dir: dir, Log: log, Env: []string{"PATH=" + p.path()}, Lambda: s.lambda, Catalog: catalogText(list, s.idle)}
	if s.containers {
		config.Deployer = "docker"
	}
	system, err := proxytest.StartSystem(ctx, config)
	if err != nil || !s.containers {
		return system, err
	}
	if err := putImages(ctx, system, bin, dir); err != nil {
		return nil, errors.Join(err, system.Stop())
	}
	return system, nil
}
