package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// In a client scenario the suite is the server: it starts a client and judges what it is sent. Direct that client is the
// fixture's; through us it is this program itself (see visitor), which puts gateway and shim between the two.

// clientProfiles are the client scenarios of both revisions, with what is known of the fixture's client alone.
var clientProfiles = []profile{
	{revision: "2025-11-25", server: "fixture-client", passed: 20},
	{revision: "2026-07-28", server: "fixture-client", passed: 62},
}

// clientFolder is how the suite names the folder of a client scenario.
var clientFolder = regexp.MustCompile(`^(.+)-\d{4}-\d{2}-\d{2}T[0-9-]+Z$`)

// leftOut is the folder of the scenarios that cannot go through a gateway, and why.
const (
	leftOut       = "auth"
	leftOutReason = "the client signs in at the suite's own authorization server, while a gateway names its own and takes no " +
		"other's tokens"
)

// clients runs the client scenarios of one revision and prints a table.
func (c *campaign) clients(ctx context.Context, p profile) (problems []string, err error) {
	direct, err := c.clientRun(ctx, p, "direct", c.tools.client, nil)
	if err != nil {
		return nil, fmt.Errorf("direct: %w", err)
	}
	problems = p.compare(direct)
	t := table{profile: p, direct: direct}
	if !c.directOnly {
		self, err := os.Executable()
		if err != nil {
			return problems, err
		}
		env := []string{visitorBin + "=" + c.bin, visitorClient + "=" + c.tools.client, visitorFront + "=" + c.front}
		through, err := c.clientRun(ctx, p, "through", self, env)
		if err != nil {
			return problems, fmt.Errorf("through gateway and shim: %w", err)
		}
		t.columns = []column{{way{name: "through"}, through}}
	}
	problems = append(problems, t.report(os.Stdout)...)
	return problems, c.listLeftOut(os.Stdout, p)
}

// clientRun has the suite start a client once for each scenario, several at a time.
func (c *campaign) clientRun(ctx context.Context, p profile, name, client string, env []string) (results, error) {
	if strings.Contains(client, " ") {
		return nil, fmt.Errorf("the suite cannot start a program whose path has a space: %s", client)
	}
	out := filepath.Join(c.out, p.revision+"-client-"+name)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return nil, err
	}
	env = append(env, visitorOut+"="+out)
	err := c.runSuite(ctx, out, env, "client", "--command", client, "--requirements", p.revision,
		"--timeout", fmt.Sprint(visitorLimit.Milliseconds()+15000), "-o", out)
	if err != nil {
		return nil, err
	}
	return readResults(out, clientFolder)
}

// listLeftOut names the scenarios that were not compared.
func (c *campaign) listLeftOut(w io.Writer, p profile) error {
	entries, err := os.ReadDir(filepath.Join(c.out, p.revision+"-client-direct", leftOut))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if name := clientFolder.FindStringSubmatch(e.Name()); name != nil {
			names = append(names, leftOut+"/"+name[1])
		}
	}
	slices.Sort(names)
	_, err = fmt.Fprintf(w, "not through a gateway, since %s:\n  %s\n\n", leftOutReason, strings.Join(names, "\n  "))
	return err
}

// How a campaign tells the visitor, in the environment: the suite's command line is one text split at spaces.
const (
	visitorBin    = "CONFORMANCE_BIN"
	visitorClient = "CONFORMANCE_CLIENT"
	visitorOut    = "CONFORMANCE_OUT"
	visitorFront  = "CONFORMANCE_FRONT"
	suiteScenario = "MCP_CONFORMANCE_SCENARIO" // the suite's own
)

// visitorLimit is how long a visitor may take, all that it starts and stops included. The suite's limit is longer: it would
// leave our programs behind.
const visitorLimit = 45 * time.Second

// visitor is the client that the suite starts: it runs everything of ours with the suite's server behind it, and the
// fixture's client in front.
func visitor(ctx context.Context, suiteURL string) error {
	scenario := os.Getenv(suiteScenario)
	if strings.HasPrefix(scenario, leftOut+"/") {
		return errors.New("left out: " + leftOutReason)
	}
	ctx, cancel := context.WithTimeout(ctx, visitorLimit)
	defer cancel()
	logs := filepath.Join(os.Getenv(visitorOut), "logs-"+scenario)
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return err
	}
	catalog, err := suiteCatalog(suiteURL)
	if err != nil {
		return err
	}
	o := ours{bin: os.Getenv(visitorBin), out: logs, catalog: catalog, server: suiteServer, front: os.Getenv(visitorFront)}
	return behindUs(ctx, o, func(url string) error {
		client := exec.CommandContext(ctx, os.Getenv(visitorClient), url)
		client.Stdout, client.Stderr = os.Stdout, os.Stderr
		return client.Run()
	})
}

// suiteServer is the id under which the suite's server is in the catalog.
const suiteServer = "suite"

// suiteCatalog offers a server that runs already: one elsewhere, but on this machine.
func suiteCatalog(suiteURL string) (string, error) {
	u, err := url.Parse(suiteURL)
	if err != nil {
		return "", fmt.Errorf("parse the suite's URL: %w", err)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return catalogOf(suiteServer, fmt.Sprintf("runtime: {remote: {url: %q}}\n    egress: [{cidr: 127.0.0.0/8, ports: [%s]}, {cidr: \"::1/128\", ports: [%s]}]",
		u, u.Port(), u.Port())), nil
}
