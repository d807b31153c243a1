package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mcpgateway/internal/procgroup"
)

// target is one fuzz function, in a test program that was built to be fuzzed.
type target struct {
	importPath, dir string
	name, program   string
}

// build builds the test programs of all packages that may have targets into bin, and asks them which they have. Without
// -fuzz a program counts no coverage, and would find nothing new.
func build(ctx context.Context, bin, only string) ([]target, error) {
	list, err := output(ctx, "go", "list", "-f", "{{.ImportPath}}\t{{.Dir}}\t{{join .TestGoFiles \",\"}},{{join .XTestGoFiles \",\"}}", "./...")
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var targets []target
	for line := range strings.Lines(list) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if wanted, err := mentions(fields[0], fields[1], strings.Split(fields[2], ","), only); err != nil || !wanted {
			if err != nil {
				return nil, err
			}
			continue
		}
		program := filepath.Join(bin, strings.ReplaceAll(fields[0], "/", "-"))
		if _, err := output(ctx, "go", "test", "-c", "-fuzz=.", "-o", program, fields[0]); err != nil {
			return nil, fmt.Errorf("build %s: %w", fields[0], err)
		}
		names, err := output(ctx, program, "-test.list=^Fuzz")
		if err != nil {
			return nil, fmt.Errorf("list targets of %s: %w", fields[0], err)
		}
		for _, name := range strings.Fields(names) {
			if t := (target{importPath: fields[0], dir: fields[1], name: name, program: program}); strings.Contains(t.String(), only) {
				targets = append(targets, t)
			}
		}
	}
	return targets, nil
}

var function = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)

// mentions saves building the test programs that cannot have a target that is wanted.
func mentions(importPath, dir string, files []string, only string) (bool, error) {
	for _, file := range files {
		if file == "" {
			continue
		}
		source, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return false, err
		}
		for _, m := range function.FindAllSubmatch(source, -1) {
			if t := (target{importPath: importPath, name: string(m[1])}); strings.Contains(t.String(), only) {
				return true, nil
			}
		}
	}
	return false, nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return string(out), err
}

func (t target) String() string {
	_, path, _ := strings.Cut(t.importPath, "/")
	return path + " " + t.name
}

// grace is how long a target may take to end once it is told to.
const grace = 30 * time.Second

// run fuzzes for a while. What ends it is an interrupt, as Ctrl-C does it: that is a clean end for a fuzz target.
func (t target) run(ctx context.Context, d time.Duration, cache string) result {
	cmd := exec.Command(t.program, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzzcachedir="+cache,
		"-test.parallel=1", "-test.timeout=0",
		"-test.fuzzminimizetime=100x") // of an interesting input; by itself go spends up to a minute on each
	cmd.Dir = t.dir // where its seeds are
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// What a worker prints is lost, so a target that has something to say appends it to this file.
	notes := t.program + "." + t.name + ".notes"
	cmd.Env = append(os.Environ(), "FUZZ_NOTES="+notes)
	// A group of its own, so that Ctrl-C reaches only us: a worker that is interrupted before the target is a crash.
	r := result{target: t}
	// Where the kernel ends children with their parent, it goes by the thread that started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var group *procgroup.Group
	if group, r.err = procgroup.Start(cmd); r.err != nil {
		return r
	}
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	r.err = t.await(ctx, d, cmd, group, ended)
	r.output = out.Bytes()
	r.count()
	if said, err := os.ReadFile(notes); err == nil {
		r.notes = strings.Join(strings.Fields(string(said)), " ")
	}
	return r
}

func (t target) await(ctx context.Context, d time.Duration, cmd *exec.Cmd, group *procgroup.Group, ended <-chan error) error {
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("ended by itself")
		}
		return err
	case <-time.After(d):
	case <-ctx.Done():
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		group.Signal(syscall.SIGKILL)
		return fmt.Errorf("did not end %v after it was interrupted: %w", grace, <-ended)
	}
}

// result is how a target ended.
type result struct {
	target
	corpus, found, runs int // inputs in the end, those that this run found, executions
	output              []byte
	notes               string // of the target itself
	err                 error
}

var progress = regexp.MustCompile(`execs: (\d+) \(\d+/sec\), new interesting: (\d+) \(total: (\d+)\)`)

// count reads the last line of progress. A target that never ran its function is a failure.
func (r *result) count() {
	all := progress.FindAllSubmatch(r.output, -1)
	if len(all) > 0 {
		last := all[len(all)-1]
		for i, to := range []*int{&r.runs, &r.found, &r.corpus} {
			*to, _ = strconv.Atoi(string(last[i+1])) // digits
		}
	}
	if r.err == nil && r.runs == 0 {
		r.err = errors.New("it never ran")
	}
}

// String is the line of the report.
func (r result) String() string {
	verdict := "ok"
	if r.err != nil {
		verdict = "FAIL"
	}
	line := fmt.Sprintf("%-4s  %-45s corpus %4d (%d new), %9d runs", verdict, r.target, r.corpus, r.found, r.runs)
	if r.notes != "" {
		line += "; " + r.notes
	}
	return line
}
