// Command conformance runs the public MCP conformance suite twice, straight at a fixture server and at the same server
// through gateway and shim, and fails when a check that passes direct does not pass through us.
//
// The suite and the fixture are other people's work, pinned and installed below .cache. It says nothing about what
// the suite does not check: refusals, sleeping and waking have tests of their own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// profiles are the two runs that make the bar. A legacy client needs the fixture to keep sessions, a modern one needs it
// not to; in the other combinations the fixture fails by itself.
var profiles = []profile{
	{revision: "2025-11-25", server: "stateful", fixtureArgs: []string{"-stateless=false"}, passed: 82},
	{revision: "2026-07-28", server: "stateless", passed: 165, failed: 30}, // failed: the tasks extension, not scored
}

// profile is one revision's requirements with the fixture that can meet them.
type profile struct {
	revision       string
	server         string // id in the catalog
	fixtureArgs    []string
	passed, failed int // what is known of the fixture alone
}

// way is how the fixture is reached through gateway and shim.
type way struct {
	name    string
	runtime func(fixture string, p profile) string // of the catalog's entry
	// excused are the scenarios that cannot pass on this way, each with the reason.
	excused map[string]string
	// warned are the checks of a SHOULD that may end in a warning on this way, each with the reason. A failure is a loss
	// all the same.
	warned map[string]string
}

// ways are both: the fixture speaks HTTP itself, or stdio behind the bridge. Without a flag it is a stdio server of both
// eras, whatever the profile.
var ways = []way{
	{name: "http", runtime: func(fixture string, p profile) string {
		return fmt.Sprintf("{command: {exec: %q, args: %s, http: {path: /}}}", fixture,
			yamlList(append([]string{"-http=127.0.0.1:{port}"}, p.fixtureArgs...)))
	}},
	{name: "stdio", excused: excusedStdio, warned: warnedStdio, runtime: func(fixture string, _ profile) string {
		return fmt.Sprintf("{command: {exec: %q}}", fixture)
	}},
}

// excusedStdio need what only HTTP has.
var excusedStdio = map[string]string{
	"server-sse-polling": "event ids and retry are for streams that can be resumed; stdio has none, and the bridge keeps no " +
		"events yet",
	"server-sse-multiple-streams": "an answer that nothing precedes goes out as JSON, which is the server's choice; the scenario " +
		"then looks at no stream (INFO)",
	"http-custom-header-server-validation": "Mcp-Param headers repeat arguments for those who route; a server behind stdio sees no " +
		"header, so none can contradict what it reads",
}

// warnedStdio race in the fixture: its SDK (go-sdk 1.8.0, Server.subscriptionsListen) knows one listener a session, and the
// end of one takes the next one's subscription along. Over HTTP each has a session of its own; behind stdio all share one,
// and the suite opens the next while it leaves the last.
var warnedStdio = map[string]string{
	"sep-2575-server-sends-prompts-list-changed-on-subscription": oneListener,
	"sep-2575-server-sends-tools-list-changed-on-subscription":   oneListener,
}

const oneListener = "the fixture keeps one listener a connection, and one that ends takes the next one's subscription along"

func main() {
	runs := flag.Int("runs", 1, "how many times to run everything")
	bin := flag.String("bin", "bin", "folder of the built programs")
	cache := flag.String("cache", ".cache", "folder for the suite, the fixture and the results")
	directOnly := flag.Bool("direct", false, "only find out whether the fixture alone behaves as known")
	only := flag.String("only", "", "run only the scenarios for `servers` or those for clients")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := do(ctx, *runs, *bin, *cache, campaign{directOnly: *directOnly, only: *only}); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// do is what the program is asked for: it is also the client that the suite starts.
func do(ctx context.Context, runs int, bin, cache string, c campaign) error {
	if os.Getenv(suiteScenario) != "" {
		return visitor(ctx, flag.Arg(0))
	}
	return run(ctx, runs, bin, cache, c)
}

func run(ctx context.Context, runs int, bin, cache string, c campaign) error {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return err
	}
	if c.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if c.tools, err = installTools(ctx, cache); err != nil {
		return err
	}
	var problems []string
	for n := 1; n <= runs; n++ {
		c.out = filepath.Join(cache, "conformance", fmt.Sprintf("run-%d", n))
		if err := os.RemoveAll(c.out); err != nil {
			return err
		}
		fmt.Printf("run %d of %d, results in %s\n", n, runs, c.out)
		found, err := c.run(ctx)
		for _, problem := range found {
			problems = append(problems, fmt.Sprintf("run %d: %s", n, problem))
		}
		if err != nil {
			return errors.Join(report(problems, n), err)
		}
	}
	if err := report(problems, runs); err != nil {
		return err
	}
	return errors.Join(ctx.Err())
}

// report names all problems in one error, which is printed last: whoever reads only the end of a log finds them.
func report(problems []string, runs int) error {
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("problems in %d runs:\n%s", runs, strings.Join(problems, "\n"))
}
