// Command testreport runs the tests of this module and says at the end what was skipped and why: a test that quietly
// does not run looks like one that passes.
//
// It adds nothing to "go test -race ./..." but the report, the note where there is no C compiler for -race, and the order: what
// takes longest begins first, and beside a package for each processor there is one more, since many tests wait.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// longest takes half of the time that all tests have together.
const longest = "./internal/e2e"

func main() {
	// Never from the cache: some tests build the programs that they run, and the cache does not know what those are made of.
	args := append([]string{"test", "-json", "-count=1", "-timeout", "12m", "-p", strconv.Itoa(runtime.NumCPU() + 1)}, os.Args[1:]...)
	r := report{out: os.Stdout}
	if raceAvailable() {
		args = append(args, "-race")
	} else {
		r.skipped = append(r.skipped, "race detector: it needs a C compiler, and there is none in PATH")
	}
	cmd := exec.Command("go", append(args, longest, "./...")...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		err = errors.Join(r.read(stdout), cmd.Wait())
	}
	r.summary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "go test:", err)
		os.Exit(1)
	}
}

// raceAvailable says whether programs can be built with -race here.
func raceAvailable() bool {
	out, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		return false
	}
	compiler, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	_, err = exec.LookPath(compiler)
	return err == nil && os.Getenv("CGO_ENABLED") != "0"
}

// event is a line of "go test -json".
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// report counts events and keeps the output of tests until it is known whether somebody wants to read it.
type report struct {
	out                  io.Writer
	output               map[string][]byte // by package and test
	blamed               map[string]bool   // packages that have a failed test
	passed, failed, none int
	skipped              []string
}

// read takes the stream of events up to its end.
func (r *report) read(events io.Reader) error {
	r.output, r.blamed = map[string][]byte{}, map[string]bool{}
	for dec := json.NewDecoder(events); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		r.add(e)
	}
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "output":
		r.output[key] = append(r.output[key], e.Output...)
	case e.Action == "build-output":
		fmt.Fprint(r.out, e.Output)
	case e.Test == "":
		r.addPackage(e, key)
	case e.Action == "pass":
		r.passed++
		delete(r.output, key)
	case e.Action == "fail":
		r.failed++
		r.blamed[e.Package] = true
		fmt.Fprintf(r.out, "%s", r.output[key])
	case e.Action == "skip":
		r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(r.output[key])))
	}
}

// addPackage prints how a package ended. One that fails outside of its tests (a build, a panic, TestMain) counts too.
func (r *report) addPackage(e event, key string) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(r.out, "ok    %-45s %6.1f s\n", e.Package, e.Elapsed)
	case "skip":
		r.none++
	case "fail":
		if !r.blamed[e.Package] {
			r.failed++
		}
		fmt.Fprintf(r.out, "%s", r.output[key])
		fmt.Fprintf(r.out, "FAIL  %-45s %6.1f s\n", e.Package, e.Elapsed)
	}
	delete(r.output, key)
}

// reason is what a test said when it was skipped: its output without the lines of go test.
func reason(output []byte) string {
	var said []string
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// summary prints what was skipped, and as the last line the counts.
func (r *report) summary() {
	if r.none > 0 {
		fmt.Fprintf(r.out, "\n%d packages have no tests.\n", r.none)
	}
	fmt.Fprintln(r.out)
	for _, s := range r.skipped {
		fmt.Fprintln(r.out, "skipped:", s)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
}
