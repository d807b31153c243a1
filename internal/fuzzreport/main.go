// Command fuzzreport runs every fuzz target of this module for the same time and says of each how large its corpus is
// and how often it ran: a target that quietly does nothing looks like one that finds nothing.
//
// It is not "go test -fuzz" in a loop because that one fails by itself now and then, "context deadline exceeded" and no
// failing input, when -fuzztime ends (golang/go#75804, mended in Go 1.27), and because two targets with a worker each
// keep two cores busy where one target with two does not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	c := campaign{}
	flag.DurationVar(&c.time, "time", 10*time.Second, "how long each target runs")
	flag.DurationVar(&c.within, "within", 0, "run each target for less, where they could not all run for -time within so long; 0: never")
	flag.IntVar(&c.jobs, "jobs", runtime.NumCPU(), "targets at once, with a worker each")
	flag.StringVar(&c.cache, "cache", "", "folder of the inputs that were found interesting (go's own)")
	only := flag.String("run", "", "only targets whose package and name, \"internal/mcp FuzzParse\", contain this text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzreport:", err)
		os.Exit(1)
	}
}

// campaign is one run of all targets.
type campaign struct {
	time   time.Duration
	within time.Duration // 0: as long as it takes
	jobs   int
	cache  string // for the inputs that were found interesting; go's own where empty
}

// run returns an error where a target failed, or none was found.
func (c *campaign) run(ctx context.Context, only string) error {
	began := time.Now()
	if c.cache == "" {
		cache, err := output(ctx, "go", "env", "GOCACHE")
		if err != nil {
			return fmt.Errorf("find the fuzz cache: %w", err)
		}
		c.cache = filepath.Join(strings.TrimSpace(cache), "fuzz")
	}
	bin, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	targets, err := build(ctx, bin, only)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target matches %q", only)
	}
	if c.within > 0 {
		c.time = c.share(len(targets), c.within-time.Since(began))
	}
	fmt.Printf("%d targets, %v each, %d at once\n", len(targets), c.time, c.jobs)
	failed := c.runAll(ctx, targets)
	fmt.Printf("%d passed, %d failed\n", len(targets)-failed, failed)
	if failed > 0 {
		return fmt.Errorf("%d targets failed", failed)
	}
	return ctx.Err()
}

// startUp is what a target takes besides its time, on a busy machine.
const startUp = 10 * time.Second

// share is how long each of n targets can run so that all end within some time: c.time at most, and a second at least.
func (c *campaign) share(n int, within time.Duration) time.Duration {
	rounds := (n + max(1, c.jobs) - 1) / max(1, c.jobs)
	return max(time.Second, min(c.time, within/time.Duration(rounds)-startUp).Round(time.Second))
}

// runAll runs the targets, some at once, prints how each ended and returns how many failed.
func (c *campaign) runAll(ctx context.Context, targets []target) (failed int) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // over failed and the terminal
		slots = make(chan struct{}, max(1, c.jobs))
	)
	for _, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := t.run(ctx, c.time, filepath.Join(c.cache, t.importPath))
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(r)
			if r.err != nil {
				failed++
				fmt.Printf("%s\n%s\n", r.output, r.err)
			}
		})
	}
	wg.Wait()
	return failed
}
