// Command bundle makes the zips that Lambda runs: one program each, as bootstrap, for either processor. The same source gives
// the same bytes, so that a hash says whether anything changed.
//
// It uploads nothing, and decides nothing about functions.
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
	"syscall"
)

func main() {
	var b build
	flag.StringVar(&b.module, "module", ".", "folder of the source")
	flag.StringVar(&b.out, "out", "bin", "folder of the zips")
	flag.StringVar(&b.version, "version", "devel", "what the programs call themselves")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, b); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// functions are the programs that run on Lambda, with what the compiler is told for each. The deployer waits for a cluster
// most of its time: without inlined functions it is a fifth smaller, and slower where nobody notices.
var functions = []struct{ name, compiler string }{{"gateway", ""}, {"deployer", "-l"}, {"oauth", ""}, {"audit", ""}, {"sessions", ""}, {"keys", ""}}

// processors are Lambda's, by Go's names.
var processors = []string{"arm64", "amd64"}

// maxZip bounds a zip, in bytes: a function that starts cold is fetched first.
const maxZip = 12_000_000

// run makes all zips, and says how large they are.
func run(ctx context.Context, b build) error {
	commit, err := commitOf(ctx, b.module)
	if err != nil {
		return err
	}
	b.commit = commit
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	for _, function := range functions {
		for _, processor := range processors {
			at := filepath.Join(b.out, function.name+"-"+processor+".zip")
			zip, err := b.zip(ctx, function.name, processor, function.compiler)
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			if err := b.write(at, zip); err != nil {
				return err
			}
		}
	}
	zip, err := b.edge()
	if err != nil {
		return err
	}
	return b.write(filepath.Join(b.out, "edge.zip"), zip)
}

// write writes a zip, and says how large it is.
func (b build) write(at string, zip []byte) error {
	if len(zip) > maxZip {
		return fmt.Errorf("%s: %d bytes are more than %d", at, len(zip), maxZip)
	}
	if err := os.WriteFile(at, zip, 0o644); err != nil {
		return err
	}
	fmt.Printf("%-26s %5.2f MB  %s %.12s\n", at, float64(len(zip))/1e6, b.version, b.commit)
	return nil
}

// commitOf is the commit that the source is of, marked where it differs.
func commitOf(ctx context.Context, module string) (string, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", module}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", fmt.Errorf("find the commit: %w", err)
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return "", fmt.Errorf("find changes since the commit: %w", err)
	}
	if changed != "" {
		commit += "-changed"
	}
	return commit, nil
}
