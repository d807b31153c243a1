package hostile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/proxytest"
)

// marker is a variable that every process of the system inherits; its value is the system's folder.
const marker = "BAD_INPUT"

// The servers. Rows that could disturb each other have one of their own.
const (
	serverBystander = "bystander"
	serverAbsent    = "absent"
	serverMute      = "mute"
	serverExits     = "exits"
	serverGreets    = "greets"
	serverSilent    = "silent"
	serverPlain     = "plain"
	serverLate      = "late"
	serverModern    = "modern"
	serverFlood     = "flood"
	serverLong      = "long-line"
	serverSlow      = "slow-reader"
	serverStubborn  = "stubborn"
	serverForks     = "forks"
	serverShared    = "shared"
	serverListens   = "listens"
	serverCrowd     = "crowd"
	serverPackage   = "no-package"
)

// noPackage is in no registry.
const noPackage = "@mcpgateway-tests/there-is-no-such-package@1.0.0"

// crowdProcesses is how many processes the crowd's server may have.
const crowdProcesses = 8

// mute is the manner of a server that is to listen and does not, nor ends when it is asked to.
const mute = "stubborn-mute"

// catalogText is a catalog of them all, with more entries in front.
func catalogText(self, dir, more string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nservers:\n" + more)
	entry := func(id, runtime, rest string) {
		fmt.Fprintf(&b, "  - {id: %s, env: [{name: %s, value: %q}], runtime: %s, %s}\n", id, marker, dir, runtime, rest)
	}
	stdio := func(id, manner, rest string) {
		entry(id, fmt.Sprintf("{command: {exec: %q, args: [%s, %s]}}", self, ServerArgument, manner), rest)
	}
	for _, s := range [][2]string{{serverBystander, "modern"}, {serverExits, "exits"}, {serverGreets, "greets"},
		{serverSilent, "silent"}, {serverPlain, "plain"}, {serverLate, "plain"}, {serverModern, "modern"}, {serverFlood, "plain"}, {serverLong, "plain"},
		{serverSlow, "plain"}, {serverStubborn, "stubborn"}, {serverShared, "modern"}, {serverListens, "plain"}} {
		stdio(s[0], s[1], "scale: {idle: 10m}")
	}
	stdio(serverForks, "plain", "scale: {idle: 1s}")
	stdio(serverCrowd, "plain", fmt.Sprintf("scale: {idle: 10m}, stdio: {child: session, max: %d}", crowdProcesses))
	entry(serverAbsent, "{command: {exec: /nowhere/there-is-no-such-program}}", "startup: {timeout: 5s}")
	entry(serverMute, fmt.Sprintf("{command: {exec: %q, args: [%s, %s], http: {path: /mcp}}}", self, ServerArgument, mute), "startup: {timeout: 3s}")
	entry(serverPackage, fmt.Sprintf("{npx: {package: %q}}", noPackage), "startup: {timeout: 60s}")
	b.WriteString("policies:\n  - {name: all, allow: {anyone: true}, servers: [\"*\"]}\n")
	return b.String()
}

// mistakes are entries that no catalog may hold, in the third line of this one.
var mistakes = []struct{ what, entry, says string }{
	{"duplicate ids", "  - {id: plain, runtime: {command: {exec: x}}}\n", `server "plain" is defined already, at `},
	{"unknown fields", "  - {id: new, colour: red, runtime: {command: {exec: x}}}\n", `catalog.yaml:3: unknown field "colour"`},
	{"not-built-yet fields", "  - {id: new, scale: {max: 2}, sessions: none, runtime: {command: {exec: x}}}\n", "catalog.yaml:3: scale.max other than 1 is not built yet"},
}

// catalogTries are versions of the catalog with a mistake in them, each tried by a system that starts and by the one that
// runs; and an entry whose mistake only npm can know.
func catalogTries() []try {
	turn := make(chan struct{}, 1) // they share one file
	var list []try
	for _, m := range mistakes {
		list = append(list, try{"a catalog with " + m.what, "at the start and while it runs", func(ctx context.Context, a *attempt) error {
			turn <- struct{}{}
			defer func() { <-turn }()
			return a.tryCatalog(ctx, m.entry, m.says)
		}})
	}
	return append(list, try{"a catalog with a package that does not exist", "npx, called twice", tryPackage})
}

// tryCatalog has a catalog with a mistake in its third line refused by a system that starts, and by the one that runs.
func (a *attempt) tryCatalog(ctx context.Context, entry, says string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text := catalogText(self, a.dir, entry)
	if err := a.refuseAtStart(ctx, text, says); err != nil {
		return err
	}
	path := filepath.Join(a.dir, "catalog.yaml")
	before := a.complaints(says)
	if err := atomicfile.Replace(path, []byte(text)); err != nil {
		return err
	}
	took := a.until(ctx, "gateway and deployer do not both say what is wrong", func() bool { return a.complaints(says) >= before+2 })
	a.saw("running: old version kept, said in %d ms", took.Milliseconds())
	c, err := a.client(ctx, alice, "new")
	if err != nil {
		return err
	}
	got, err := c.post(ctx, initialize)
	if err != nil {
		return err
	}
	a.check("a server of the bad version", got, want{status: 403, code: -32001, says: "may not use", within: atOnce})
	return atomicfile.Replace(path, []byte(catalogText(self, a.dir, "")))
}

// complaints counts the lines in which gateway and deployer keep the old version for a reason.
func (a *attempt) complaints(says string) (count int) {
	text, _ := os.ReadFile(a.config.Log) // what is not there holds none
	for line := range bytes.Lines(text) {
		plain := bytes.ReplaceAll(line, []byte(`\"`), []byte(`"`))
		if bytes.Contains(plain, []byte("the old version stays in force")) && bytes.Contains(plain, []byte(says)) {
			count++
		}
	}
	return count
}

// refuseAtStart has the operator's command refuse a catalog.
func (a *attempt) refuseAtStart(ctx context.Context, text, says string) error {
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "catalog.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(address, ":")
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, filepath.Join(a.config.Bin, "mcpgateway"), "run", "--state", filepath.Join(dir, "state"), "--catalog", path, "--port", port)
	printed, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil || cmd.ProcessState.ExitCode() != 1 {
		a.wrong("a system started with it: %v", err)
	}
	if !bytes.Contains(printed, []byte(says)) {
		a.wrong("a system that starts with it says %.200q, want %q", printed, says)
	}
	a.saw("start: exit %d in %d ms", cmd.ProcessState.ExitCode(), time.Since(began).Milliseconds())
	return nil
}

// tryPackage calls a server whose package is in no registry. It is asked for as soon as the catalog is read.
func tryPackage(ctx context.Context, a *attempt) error {
	c, err := a.client(ctx, alice, serverPackage)
	if err != nil {
		return err
	}
	for _, call := range []string{"first", "second"} {
		got, err := c.post(ctx, initialize)
		if err != nil {
			return err
		}
		a.expect(call, got, want{status: 503, code: -32000, says: "E404", retry: true, within: 2 * soon})
	}
	return nil
}
