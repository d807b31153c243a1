// Command bench measures what gateway and shim cost: the same calls go through them and through two plain
// httputil.ReverseProxy processes in a row, in short slices in random order, so that whatever else the machine does
// meets both alike. Servers that are containers are measured beside processes, and beside what docker run takes for them.
//
// It sends to loopback addresses only, at processes that it started. Its absolute figures mean little on a busy machine;
// the ratios are what is judged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"mcpgateway/internal/measure"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == referenceVerb {
		fmt.Fprintln(os.Stderr, "bench:", serveReference(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	duration := flag.Duration("duration", 30*time.Second, "how long to measure the latency of each system; processor time and throughput take half of it each")
	wakes := flag.Int("wakes", 20, "how many times to wake a sleeping server")
	bin := flag.String("bin", "bin", "folder of the built programs")
	only := flag.String("only", "", "measure this part alone: calls, lists, governance, eras, listeners or containers")
	enforce := flag.Bool("enforce", false, "leave with status 1 when a threshold is missed")
	flag.Parse()
	s := settings{bin: *bin, duration: *duration, wakes: *wakes, only: *only}
	measure.Main(*enforce, func(ctx context.Context, p *measure.Printer) error { return run(ctx, p, s) })
}

// settings are what the command line says.
type settings struct {
	bin, only string
	duration  time.Duration
	wakes     int
}

// run measures everything, or the part that was asked for, and prints as it goes.
func run(ctx context.Context, p *measure.Printer, s settings) error {
	bin, err := filepath.Abs(s.bin)
	if err != nil {
		return err
	}
	parts := []struct {
		name    string
		measure func() error
	}{
		{"calls", func() error { return calls(ctx, p, bin, s.duration, s.wakes) }},
		{"lists", func() error { return lists(ctx, p, bin, s.wakes) }},
		{"governance", func() error { return govern(ctx, p, bin, s.duration) }},
		{"eras", func() error { return eras(ctx, p, bin, s.duration) }},
		{"listeners", func() error { return listeners(ctx, p, bin, s.duration) }},
		{"containers", func() error { return containers(ctx, p, bin, s.duration, s.wakes) }},
	}
	found := false
	for _, part := range parts {
		if s.only != "" && s.only != part.name {
			continue
		}
		found = true
		if err := part.measure(); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("-only %s: the parts are calls, lists, governance, eras, listeners and containers", s.only)
	}
	return ctx.Err()
}

// calls measures what calls cost.
func calls(ctx context.Context, p *measure.Printer, bin string, duration time.Duration, wakes int) (err error) {
	dir, err := os.MkdirTemp("", "mcp") // sockets need a short path
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := startSystems(ctx, bin, dir)
	if err != nil {
		return errors.Join(err, s.stop())
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	fmt.Fprintf(p.Out, "%s/%s, %d cores, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Fprintln(p.Out, "reference: two httputil.ReverseProxy processes in a row; upstream of both: sample-server, each its own")
	fmt.Fprintln(p.Out, "call: tools/call with an argument of 1 KB and a result of 1 KB; token, policy and audit on")
	for _, measure := range []func() error{
		func() error { return s.footprint(ctx, p, bin) },
		func() error { return s.load(ctx, p, duration) },
		func() error { return s.wake(ctx, p, wakes) },
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}
