package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
	"mcpgateway/localstack/lambda"
)

// Ids in the catalog.
const (
	echoID   = "echo"
	eventsID = "events"
)

// rig is one system with two doors: a gateway that is a server, and one that is a function. Deployer, shims and servers are
// the same.
type rig struct {
	system  *proxytest.Rig
	emitter *emitter
	log     *os.File // of both functions

	gateway, hello *lambda.Front
	helloURL       string

	echo, events door
}

// door is a server's two ways in.
type door struct{ plain, function *measure.Caller }

// start starts everything. What it returns must be stopped, with an error too.
func start(ctx context.Context, bin, dir string) (*rig, error) {
	r := &rig{}
	var err error
	if r.emitter, err = startEmitter(); err != nil {
		return r, err
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		return r, err
	}
	r.system, err = proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: dir,
		Catalog: catalogOf(filepath.Join(bin, "sample-server"), r.emitter), Platform: fmt.Sprintf("hosts: [%q]\n", address)})
	if err != nil {
		return r, err
	}
	if err := r.startFunctions(ctx, bin, dir, address); err != nil {
		return r, err
	}
	for id, to := range map[string]*door{echoID: &r.echo, eventsID: &r.events} {
		token, err := r.system.Token(id)
		if err != nil {
			return r, fmt.Errorf("make token: %w", err)
		}
		*to = door{measure.NewCaller(r.system.URL+proxytest.Path(id), token), measure.NewCaller(r.gateway.URL()+proxytest.Path(id), token)}
	}
	return r, nil
}

// startFunctions starts the fronts of both: their processes start with a call.
func (r *rig) startFunctions(ctx context.Context, bin, dir, address string) (err error) {
	program := filepath.Join(dir, "bootstrap")
	if err := unpack(zipOf(bin, runtime.GOARCH), program); err != nil {
		return err
	}
	if r.log, err = os.OpenFile(filepath.Join(dir, "functions.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	function := lambda.Function{Name: "gateway", Program: program, Env: map[string]string{"PLATFORM": filepath.Join(dir, "platform.yaml")},
		Memory: 512, Timeout: time.Minute, Log: r.log}
	if r.gateway, err = lambda.Start(ctx, lambda.Config{Function: function, Address: address}); err != nil {
		return err
	}
	function.Name, function.Program, function.Env = "hello", filepath.Join(bin, "hello"), nil
	if r.hello, err = lambda.Start(ctx, lambda.Config{Function: function}); err != nil {
		return err
	}
	r.helloURL = r.hello.URL()
	return nil
}

// catalogOf has a server that echoes, and one that streams.
func catalogOf(sample string, e *emitter) string {
	return fmt.Sprintf(`apiVersion: v1
servers:
  - {id: %s, runtime: {command: {exec: %q, args: ["-addr", "127.0.0.1:{port}"], http: {path: /mcp}}}, scale: {idle: 1h}}
  - {id: %s, runtime: {remote: {url: %q}}, egress: [{cidr: 127.0.0.1/32, ports: [%d]}], scale: {idle: 1h}}
policies:
  - {name: all, allow: {users: [%s]}, servers: ["*"], tools: [echo]}
`, echoID, sample, eventsID, e.url, e.port, proxytest.User)
}

// stop stops everything.
func (r *rig) stop() error {
	var problems []error
	for _, f := range []*lambda.Front{r.gateway, r.hello} {
		if f != nil {
			f.Close()
		}
	}
	if r.system != nil {
		problems = append(problems, r.system.Stop())
	}
	if r.log != nil {
		problems = append(problems, r.log.Close())
	}
	if r.emitter != nil {
		problems = append(problems, r.emitter.server.Close())
	}
	return errors.Join(problems...)
}
