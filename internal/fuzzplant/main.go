// Command fuzzplant shows that every fuzz target can find a bug: it plants the one that planted.txt names for it into a
// copy of this module, runs the target there, and says how long it took to be found.
//
// What it plants never touches the tree itself. It takes minutes, and is for whoever changes a target.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	limit := flag.Duration("time", 3*time.Minute, "how long a target may take")
	jobs := flag.Int("jobs", 2, "targets at once")
	only := flag.String("run", "", "only targets whose package and name contain this text")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *limit, *jobs, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzplant:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, limit time.Duration, jobs int, only string) error {
	bugs, err := parse(planted)
	if err != nil {
		return err
	}
	work := make(chan bug)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex // over missed and the terminal
		missed int
	)
	for range jobs {
		dir, err := copyModule(ctx)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, reporter), "./internal/fuzzreport").CombinedOutput(); err != nil {
			return fmt.Errorf("build fuzzreport: %w: %s", err, out)
		}
		wg.Go(func() {
			for b := range work {
				verdict, found := b.find(ctx, dir, limit)
				mu.Lock()
				if !found {
					missed++
				}
				fmt.Printf("%-48s %s\n", b.target, verdict)
				mu.Unlock()
			}
		})
	}
	for _, b := range bugs {
		if strings.Contains(b.target, only) && ctx.Err() == nil {
			work <- b
		}
	}
	close(work)
	wg.Wait()
	if missed > 0 {
		return fmt.Errorf("%d bugs were not found", missed)
	}
	return ctx.Err()
}

// reporter is the name of fuzzreport's program in a copy.
const reporter = "fuzzreport.program"

// copyModule copies what git knows of, and what it would take.
func copyModule(ctx context.Context) (string, error) {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("list files: %w", err)
	}
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err == nil {
			err = os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			return dir, err
		}
	}
	return dir, nil
}

// find plants the bug in the copy, runs the target, and takes the bug out again. Inputs of earlier runs must not help.
func (b bug) find(ctx context.Context, dir string, limit time.Duration) (verdict string, found bool) {
	repair, err := b.plant(dir)
	if err != nil {
		return err.Error(), false
	}
	defer repair()
	cache, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err.Error(), false
	}
	defer os.RemoveAll(cache)
	cmd := exec.CommandContext(ctx, filepath.Join(dir, reporter), "-time", limit.String(), "-jobs", "1", "-cache", cache, "-run", b.target)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends the target
	out, err := cmd.CombinedOutput()
	text := string(out)
	_, name, _ := strings.Cut(b.target, " ")
	switch {
	case err == nil:
		return fmt.Sprintf("NOT FOUND in %v: %s", limit, b), false
	case !strings.Contains(text, "--- FAIL: "+name):
		return "BROKEN: " + text, false
	case strings.Contains(text, "failure while testing seed"):
		return fmt.Sprintf("found by a seed: %s", b), true
	}
	// The find is written below testdata, as a seed of the next run.
	folder, _, _ := strings.Cut(b.target, " ")
	_ = os.RemoveAll(filepath.Join(dir, folder, "testdata", "fuzz", name))
	return fmt.Sprintf("found after %s and %s runs: %s", last(text, "elapsed: "), last(text, "execs: "), b), true
}

// last is the word after the last place of a text.
func last(text, before string) string {
	at := strings.LastIndex(text, before)
	if at < 0 {
		return "?"
	}
	return strings.TrimRight(strings.Fields(text[at+len(before):])[0], ",")
}
