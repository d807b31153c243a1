// Command lambda measures what the gateway costs as a Lambda function: its first call against a function that only says
// hello, and its later ones against the same gateway as a server of its own. All of them take turns in random order in one
// run, so that whatever else the machine does meets them alike.
//
// What it runs are the programs of the zips, behind this project's own front of Lambda (localstack/lambda): it says nothing
// of Amazon's network, of how a zip is fetched, or of a processor share. Its absolute figures are this machine's.
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

// settings are what the command line says.
type settings struct {
	bin   string
	pairs int
	warm  time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "bin", "folder of the built programs and zips")
	flag.IntVar(&s.pairs, "pairs", 60, "how many times to start each function")
	flag.DurationVar(&s.warm, "warm", 20*time.Second, "how long to call each while it is warm, and then how long to listen to events")
	flag.Parse()
	measure.Main(true, func(ctx context.Context, p *measure.Printer) error { return run(ctx, p, s) })
}

// leastPairs is what a ratio's interval needs.
const leastPairs = 30

// run measures everything, and prints as it goes.
func run(ctx context.Context, p *measure.Printer, s settings) (err error) {
	if s.pairs < leastPairs || s.warm <= 0 {
		return fmt.Errorf("-pairs must be %d or more, and -warm more than nothing", leastPairs)
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mcp") // sockets need a short path
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintf(p.Out, "%s/%s, %d cores, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if err := weigh(p, s.bin); err != nil {
		return err
	}
	r, err := start(ctx, s.bin, dir)
	defer func() { err = errors.Join(err, r.stop()) }()
	if err != nil {
		return err
	}
	for _, part := range []func() error{
		func() error { return r.cold(ctx, p, s.pairs) },
		func() error { return r.calls(ctx, p, s.warm) },
		func() error { return r.streams(ctx, p, s.warm) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return ctx.Err()
}
