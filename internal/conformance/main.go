// Command conformance runs the public MCP conformance suite twice, straight at a server and at the same server through
// gateway and shim, and fails when a check that passes direct does not pass through us.
//
// With -lambda the gateway is a function behind a front of AWS, and servers have the listening policy that is the default.
// It changes nothing that the suite looks at: what a listener is to hear there comes within the second that a poll stays.
//
// The suite and the servers are other people's work, pinned and installed below .cache. It says nothing about what
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

func main() {
	runs := flag.Int("runs", 1, "how many times to run everything")
	bin := flag.String("bin", "bin", "folder of the built programs")
	cache := flag.String("cache", ".cache", "folder for the suite, the servers and the results")
	directOnly := flag.Bool("direct", false, "only find out whether the servers and the client alone behave as known")
	only := flag.String("only", "", "run only the scenarios for `servers`, those for clients or those for authorization")
	way := flag.String("way", "", "reach servers only on ways whose name has this `TEXT`")
	in := flag.String("cluster", "", "run servers in the cluster that `FOLDER` has the keys of (knative/conformance.sh)")
	containers := flag.Bool("docker", false, "run servers as containers of the engine at DOCKER_HOST (localstack/e2e-docker.sh)")
	front := flag.String("lambda", "", "run the gateway as a function behind this `FRONT` of AWS: url (a function URL) or rest (a REST API)")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if o, ok := readEra(os.Args[1:]); ok {
		if err := o.run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	c := campaign{directOnly: *directOnly, only: *only, way: *way, front: *front}
	switch {
	case *in != "":
		c.elsewhere = &cluster{dir: *in}
	case *containers:
		c.elsewhere = &engine{}
	}
	if err := do(ctx, *runs, *bin, *cache, c); err != nil {
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

func run(ctx context.Context, runs int, bin, cache string, c campaign) (err error) {
	cache, err = filepath.Abs(cache)
	if err != nil {
		return err
	}
	if c.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if c.tools, err = installTools(ctx, cache); err != nil {
		return err
	}
	if c.elsewhere != nil {
		defer func() { err = errors.Join(err, c.elsewhere.close()) }()
		if err := c.elsewhere.prepare(ctx, c.tools, c.bin); err != nil {
			return fmt.Errorf("prepare images: %w", err)
		}
	}
	var problems []string
	for n := 1; n <= runs; n++ {
		c.out = filepath.Join(cache, "conformance", fmt.Sprintf("%srun-%d", c.front, n))
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
