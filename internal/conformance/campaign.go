package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/proxytest"
)

// campaign is one run of everything.
type campaign struct {
	tools      tools
	bin        string // folder of our programs
	out        string // folder for results and logs
	directOnly bool
	only       string    // "servers", "clients" or "authorization"; "" for all
	way        string    // part of the names of the ways to take
	elsewhere  elsewhere // where servers run; nil: as processes of this machine
	front      string    // of AWS, with the gateway as a function behind it; "" for the gateway as a process
}

// run runs all profiles and prints a table each. It returns the problems; err is trouble of the harness.
func (c *campaign) run(ctx context.Context) (problems []string, err error) {
	if !slices.Contains([]string{"", "servers", "clients", "authorization"}, c.only) {
		return nil, fmt.Errorf("only %q: there are servers, clients and authorization", c.only)
	}
	if err := checkFront(c.front); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name     string
		run      func(context.Context, profile) ([]string, error)
		profiles []profile
	}{{"servers", c.servers, profiles}, {"clients", c.clients, clientProfiles}} {
		if c.only != "" && c.only != part.name {
			continue
		}
		for _, p := range part.profiles {
			found, err := part.run(ctx, p)
			problems = append(problems, found...)
			if err != nil {
				return problems, fmt.Errorf("%s, %s: %w", p.revision, part.name, err)
			}
		}
	}
	// It is the same program wherever gateway and servers run.
	if c.only == "authorization" || c.only == "" && !c.directOnly && c.elsewhere == nil && c.front == "" {
		found, err := c.authorization(ctx)
		return append(problems, found...), err
	}
	return problems, nil
}

// servers runs the server scenarios of one revision and prints a table.
func (c *campaign) servers(ctx context.Context, p profile) (problems []string, err error) {
	direct, err := c.direct(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("direct: %w", err)
	}
	problems = p.compare(direct)
	t := table{profile: p, direct: direct}
	if !c.directOnly {
		for _, w := range p.ways {
			if c.elsewhere != nil && w.pod == nil || !strings.Contains(w.name, c.way) {
				continue
			}
			through, err := c.through(ctx, p, w)
			if err != nil {
				return problems, fmt.Errorf("through gateway and shim, %s: %w", w.name, err)
			}
			t.columns = append(t.columns, column{w, through})
		}
	}
	return append(problems, t.report(os.Stdout)...), nil
}

// compare says whether the server or client alone is what it is known for.
func (p profile) compare(direct results) (problems []string) {
	got := direct.total()
	if got == (score{p.passed, p.failed}) {
		return nil
	}
	problems = append(problems, fmt.Sprintf("%s, %s: it alone has %s and is known for %d/%d: something changed that is not ours",
		p.revision, p.server, got, p.passed, p.failed))
	for _, scenario := range slices.Sorted(maps.Keys(direct)) {
		for _, check := range direct[scenario] {
			if check.Status == failure {
				problems = append(problems, fmt.Sprintf("  %s, %s: %s", scenario, check.ID, check.ErrorMessage))
			}
		}
	}
	return problems
}

// direct runs the suite straight at the server.
func (c *campaign) direct(ctx context.Context, p profile) (_ results, err error) {
	out := filepath.Join(c.out, p.revision+"-"+p.server+"-direct")
	if err := os.MkdirAll(out, 0o700); err != nil {
		return nil, err
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		return nil, err
	}
	command, path := p.direct(c.tools, address)
	command.Log = filepath.Join(out, "server.log")
	server, err := proxytest.StartProcess(command)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := server.Await(ctx, "tcp", address); err != nil {
		return nil, err
	}
	return c.suite(ctx, p, "http://"+address+path, out)
}

// through runs the suite at the server behind everything of ours.
func (c *campaign) through(ctx context.Context, p profile, w way) (results, error) {
	out := filepath.Join(c.out, p.revision+"-"+p.server+"-"+w.name)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return nil, err
	}
	var got results
	o := ours{bin: c.bin, out: out, catalog: c.catalog(p, w), server: c.id(p, w), elsewhere: c.elsewhere, front: c.front}
	err := behindUs(ctx, o, func(url string) (err error) {
		got, err = c.suite(ctx, p, url, out)
		return err
	})
	return got, err
}

// id is the server's in the catalog. What is elsewhere can outlive its way, so that each has its own.
func (c *campaign) id(p profile, w way) string {
	if c.elsewhere != nil {
		return p.server + "-" + w.name
	}
	return p.server
}

// catalog offers the server.
func (c *campaign) catalog(p profile, w way) string {
	entry := w.entry
	if c.elsewhere != nil {
		entry = w.pod
	}
	return catalogOf(c.id(p, w), entry(c.tools))
}

func yamlList(items []string) string {
	list := "["
	for i, item := range items {
		if i > 0 {
			list += ", "
		}
		list += fmt.Sprintf("%q", item)
	}
	return list + "]"
}

// suite runs the server scenarios of a revision at url.
func (c *campaign) suite(ctx context.Context, p profile, url, out string) (results, error) {
	if err := c.runSuite(ctx, out, nil, "server", "--url", url, "--requirements", p.revision, "-o", out); err != nil {
		return nil, err
	}
	return readResults(out, serverFolder)
}

// runSuite runs the suite. Its exit code is not asked: it counts required scenarios only.
func (c *campaign) runSuite(ctx context.Context, out string, env []string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	log, err := os.Create(filepath.Join(out, "suite.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, c.tools.node, append([]string{c.tools.suite}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil && !isExit(err) || ctx.Err() != nil {
		return errors.Join(fmt.Errorf("run the suite: %w", err), ctx.Err())
	}
	return nil
}

func isExit(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}
