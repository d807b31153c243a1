// Package hostile gives bad input to the system as "mcpgateway run" starts it: servers, clients and catalogs that do what
// they should not. Each row says what came of one, and what of that was wrong.
//
// All rows go through the real programs, from the client's connection to the server's process. What the parts make of the
// same input by themselves is the business of their own tests. Processes are found by /proc, so it needs Linux.
package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"mcpgateway/internal/proxytest"
)

// ServerArgument is the first argument with which the running program must be an MCP server on stdio, of the manner that
// the second says (package stdiotest).
const ServerArgument = "stdio-server"

// callTimeout is how long a call may take in this system: short, since some take as long as they may.
const callTimeout = 20 * time.Second

// Config says what to run. All fields are needed.
type Config struct {
	Bin  string         // folder of the built programs
	Log  string         // file for the lines of all programs
	Path string         // PATH, with npm in it
	Only *regexp.Regexp // of the rows to run, on "input: way"
}

// Row is a line of the table: one bad input.
type Row struct {
	Input string // in the words of whoever asked for it
	Way   string // in which it was given
	Saw   []string
	Wrong []string
	Took  time.Duration
	// Others is the slowest answer that somebody at another server got meanwhile.
	Others time.Duration
}

func (r Row) name() string { return r.Input + ": " + r.Way }

// try is a row that is yet to be run.
type try struct {
	input, way string
	run        func(context.Context, *attempt) error
}

// Matching tells whether there is a row for a pattern.
func Matching(only *regexp.Regexp) bool {
	for _, phase := range phases() {
		for _, t := range phase {
			if only.MatchString(t.input + ": " + t.way) {
				return true
			}
		}
	}
	return false
}

// phases are all rows. Those of a phase run side by side, so that one which waits costs no time, and each shows that it
// does not disturb the others.
func phases() [][]try {
	return [][]try{append(append(serverTries(), clientTries()...), catalogTries()...), leaverTries(), crowdTries()}
}

// Run starts a system and runs all rows that are wanted.
func Run(ctx context.Context, c Config) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "mcp") // sockets need a short path
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := startRig(ctx, c, dir)
	if err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, r.system.Stop())
		}
	}()
	by, err := startBystander(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, phase := range phases() {
		rows = append(rows, r.runPhase(ctx, by, c.Only, phase)...)
	}
	by.stop()
	if len(rows) > 0 {
		stopped = true
		rows = append(rows, r.runStop(ctx))
	}
	return rows, ctx.Err()
}

// runPhase runs rows side by side, and prints each when it is over.
func (r *rig) runPhase(ctx context.Context, by *bystander, only *regexp.Regexp, phase []try) []Row {
	var mu sync.Mutex
	var rows []Row
	var all sync.WaitGroup
	for _, t := range phase {
		if !only.MatchString(t.input + ": " + t.way) {
			continue
		}
		all.Go(func() {
			row := r.runTry(ctx, by, t)
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(row.line())
			rows = append(rows, row)
		})
	}
	all.Wait()
	return rows
}

// patience is how long one row may take.
const patience = 80 * time.Second

func (r *rig) runTry(ctx context.Context, by *bystander, t try) Row {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := &attempt{rig: r, row: Row{Input: t.input, Way: t.way}}
	began := time.Now()
	if err := t.run(ctx, a); err != nil {
		a.wrong("%v", err)
	}
	a.row.Took = time.Since(began)
	slowest, err := by.since(ctx, began)
	a.row.Others = slowest
	if err != nil {
		a.wrong("another server's caller: %v", err)
	}
	if slowest > atOnce {
		a.wrong("another server's caller waited %v", slowest.Round(time.Millisecond))
	}
	return a.row
}

// runStop stops the system, with servers in it that do not want to end, and looks for what is left.
func (r *rig) runStop(ctx context.Context) Row {
	a := &attempt{rig: r, row: Row{Input: "all of them", Way: "the system is stopped"}}
	began := time.Now()
	before := len(r.processes())
	if err := r.system.Stop(); err != nil {
		a.wrong("%v", err)
	}
	a.row.Took = time.Since(began)
	if before == 0 {
		a.wrong("there are no processes, so none can be found")
	}
	a.saw("%d processes, then %d", before, len(r.processes()))
	a.until(ctx, "a process is left", func() bool { return len(r.processes()) == 0 })
	for _, p := range r.processes() {
		a.wrong("%d is left: %s", p.pid, p.command)
	}
	return a.row
}

func (r Row) line() string {
	verdict := "ok"
	if len(r.Wrong) > 0 {
		verdict = "FAIL"
	}
	return fmt.Sprintf("%s\t%s\t%.1f s\t%d ms\t%s\t%s", r.Input, r.Way, r.Took.Seconds(), r.Others.Milliseconds(), verdict, strings.Join(r.Saw, "; "))
}

// Print prints all rows and why those that failed did, and returns how many did.
func Print(w io.Writer, rows []Row) (failed int) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "\nbad input\tway\ttook\tothers\t\tseen")
	for _, r := range rows {
		fmt.Fprintln(table, r.line())
	}
	table.Flush()
	for _, r := range rows {
		if len(r.Wrong) > 0 {
			failed++
		}
		for _, wrong := range r.Wrong {
			fmt.Fprintf(w, "%s: %s\n", r.name(), wrong)
		}
	}
	return failed
}

// rig is the system that all rows share.
type rig struct {
	system *proxytest.System
	http   *http.Client
	config Config
	dir    string // its path is in the environment of every process of the system
}

func startRig(ctx context.Context, c Config, dir string) (*rig, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := proxytest.StartSystem(ctx, proxytest.SystemConfig{Bin: c.Bin, Dir: dir, Log: c.Log, Env: []string{"PATH=" + c.Path, marker + "=" + dir},
		Catalog: catalogText(self, dir, ""), Limits: fmt.Sprintf("{callTimeout: %s}", callTimeout)})
	if err != nil {
		return nil, err
	}
	return &rig{system: s, config: c, dir: dir, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}, nil
}

// log is what a server's bridge and process printed.
func (r *rig) log(server string) string {
	text, _ := os.ReadFile(filepath.Join(r.system.State, "logs", server, "server.log")) // none where it never ran
	return string(text)
}
