package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// system is one way to a sample server.
type system struct {
	name    string
	modern  *measure.Caller
	legacy  *measure.Caller
	proxies []int // processes whose processor time counts: those between caller and server, and what stores their records
}

// systems are the three ways that are compared, and what they need.
type systems struct {
	direct, reference, ours *system
	stdio                   *system // as ours, but that the server speaks stdio behind the bridge

	shim      int             // process of ours
	sleeper   *measure.Caller // calls a server that sleeps after sleepAfter without a call
	program   string          // of the sleeping server, used by nothing else
	rig       *proxytest.Rig
	processes []*proxytest.Process
}

// sleepAfter is when the sleeping server sleeps.
const sleepAfter = time.Second

// Ids in the catalog. Processes are found by them, so that two benches at once must not share them.
var (
	steadyID  = fmt.Sprintf("steady-%d", os.Getpid())
	sleeperID = fmt.Sprintf("sleeper-%d", os.Getpid())
	stdioID   = fmt.Sprintf("stdio-%d", os.Getpid())
)

// startSystems starts everything. What it returns must be stopped, with an error too.
func startSystems(ctx context.Context, bin, dir string) (*systems, error) {
	s := &systems{program: filepath.Join(dir, "sleeper")}
	sample := filepath.Join(bin, "sample-server")
	if err := copyProgram(sample, s.program); err != nil {
		return s, err
	}
	if err := s.startReference(ctx, sample, dir); err != nil {
		return s, err
	}
	rig, err := proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: dir, Catalog: catalogOf(sample, s.program)})
	if err != nil {
		return s, err
	}
	s.rig = rig
	s.ours, s.stdio = &system{name: "ours"}, &system{name: "stdio"}
	for id, to := range map[string]**measure.Caller{steadyID: &s.ours.modern, stdioID: &s.stdio.modern, sleeperID: &s.sleeper} {
		if *to, err = s.caller(id); err != nil {
			return s, err
		}
	}
	for _, sys := range s.withStdio() {
		if err := sys.modern.Call(ctx); err != nil {
			return s, fmt.Errorf("first call, %s: %w", sys.name, err)
		}
		if sys.legacy, err = sys.modern.LegacySession(ctx); err != nil {
			return s, fmt.Errorf("%s: %w", sys.name, err)
		}
	}
	if s.shim, err = findShim(steadyID); err != nil {
		return s, err
	}
	supervisor, err := parentOf(s.shim)
	if err != nil {
		return s, err
	}
	s.ours.proxies = []int{s.rig.Gateway.PID(), s.shim, supervisor}
	return s, nil
}

// findShim is the process of a server's shim.
func findShim(id string) (int, error) {
	shims, err := findProcesses("", "SHIM_SERVER="+id)
	if err != nil || len(shims) != 1 {
		return 0, fmt.Errorf("find the shim: processes %v, %v", shims, err)
	}
	return shims[0], nil
}

// startReference starts a sample server and two reverse proxies in front of it.
func (s *systems) startReference(ctx context.Context, sample, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var addresses [3]string // server, inner proxy, outer proxy
	for i := range addresses {
		if addresses[i], err = proxytest.FreeAddress(); err != nil {
			return err
		}
		c := proxytest.Command{Path: sample, Args: []string{"-addr", addresses[i]}, Log: filepath.Join(dir, fmt.Sprintf("reference-%d.log", i))}
		if i > 0 {
			c.Path, c.Args = self, []string{referenceVerb, addresses[i], "http://" + addresses[i-1]}
		}
		p, err := proxytest.StartProcess(c)
		if err != nil {
			return err
		}
		s.processes = append(s.processes, p)
		if err := p.Await(ctx, "tcp", addresses[i]); err != nil {
			return err
		}
	}
	s.direct = &system{name: "direct", modern: measure.NewCaller("http://"+addresses[0]+"/mcp", "")}
	s.reference = &system{name: "reference", modern: measure.NewCaller("http://"+addresses[2]+"/mcp", ""),
		proxies: []int{s.processes[1].PID(), s.processes[2].PID()}}
	return nil
}

// catalogOf offers the sample server three times: to be called all the time, to fall asleep, and over stdio.
func catalogOf(steady, sleeper string) string {
	return "apiVersion: v1\nservers:\n" + entry(steadyID, overHTTP(steady), time.Hour) + entry(sleeperID, overHTTP(sleeper), sleepAfter) +
		entry(stdioID, fmt.Sprintf("{exec: %q, args: [-stdio]}", steady), time.Hour) + mayEcho(proxytest.User)
}

func overHTTP(program string) string {
	return fmt.Sprintf(`{exec: %q, args: ["-addr", "127.0.0.1:{port}"], http: {path: /mcp}}`, program)
}

func entry(id, command string, idle time.Duration) string {
	return fmt.Sprintf(`  - id: %s
    title: Sample
    description: The sample server
    runtime: {command: %s}
    scale: {idle: %s}
`, id, command, idle)
}

func mayEcho(users ...string) string {
	return "policies:\n  - {name: all, allow: {users: [" + strings.Join(users, ", ") + "]}, servers: [\"*\"], tools: [echo]}\n"
}

// caller makes calls of a server of ours.
func (s *systems) caller(id string) (*measure.Caller, error) {
	token, err := s.rig.Token(id)
	if err != nil {
		return nil, fmt.Errorf("make token: %w", err)
	}
	return measure.NewCaller(s.rig.URL+proxytest.Path(id), token), nil
}

func (s *systems) all() []*system { return []*system{s.direct, s.reference, s.ours} }

func (s *systems) withStdio() []*system { return append(s.all(), s.stdio) }

// stop stops everything.
func (s *systems) stop() error {
	var problems []error
	if s.rig != nil {
		problems = append(problems, s.rig.Stop())
	}
	for _, p := range slices.Backward(s.processes) {
		problems = append(problems, p.Stop())
	}
	return errors.Join(problems...)
}

// copyProgram copies a program, so that its processes can be told from others.
func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy program: %w (make build makes it)", err)
	}
	if err := os.WriteFile(to, program, 0o700); err != nil {
		return fmt.Errorf("copy program: %w", err)
	}
	return nil
}
