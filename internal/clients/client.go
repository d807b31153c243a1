package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/proxytest"
)

// client is one way to use a server.
type client struct {
	name          string
	user          string
	newest        string // era: the newest that it speaks as it is run here
	hearsProgress bool
	visit         func(ctx context.Context, v *visit) (outcome, error)
}

var clients = []client{
	{name: "inspector, legacy", user: everything, newest: legacy, visit: inspector("legacy")},
	{name: "inspector, auto", user: everything, newest: modern, visit: inspector("auto")},
	{name: "mcpdo, legacy", user: everything, newest: legacy, visit: mcpdo("legacy")},
	{name: "mcpdo, auto", user: everything, newest: modern, visit: mcpdo("auto")},
	{name: "sdk", user: everything, newest: legacy, hearsProgress: true, visit: sdk},
	{name: "client, legacy", user: everything, newest: legacy, hearsProgress: true, visit: library("legacy")},
	{name: "client, auto", user: everything, newest: modern, hearsProgress: true, visit: library("auto")},
	{name: "mcp-remote, sdk", user: everything, newest: legacy, hearsProgress: true, visit: remoteSDK},
	{name: "mcp-remote, client auto", user: everything, newest: modern, hearsProgress: true, visit: remoteClient},
	{name: "inspector auto, signs in", user: everything, newest: modern, visit: inspectorSignsIn},
	{name: "sdk, signs in", user: everything, newest: legacy, hearsProgress: true, visit: signsIn(sdk)},
	{name: "client auto, signs in", user: everything, newest: modern, hearsProgress: true, visit: signsIn(library("auto"))},
	{name: "mcp-remote, signs in", user: everything, newest: legacy, hearsProgress: true, visit: remoteSignsIn},
	{name: "Go fixture client", user: harmless, newest: modern, visit: goFixture},
}

// functionClients visit the gateway as a function. They are those whose 401 the front can spoil; some have no token, and
// must find out by the metadata at its well-known place where to have one.
var functionClients = slices.DeleteFunc(slices.Clone(clients), func(c client) bool {
	return strings.HasPrefix(c.name, "mcpdo") || c.user != everything
})

// sleepers keep a connection, over which they call again once the server sleeps.
var sleepers = slices.DeleteFunc(slices.Clone(clients), func(c client) bool {
	return !slices.Contains([]string{"mcpdo, legacy", "mcpdo, auto", "sdk", "client, legacy", "client, auto", "mcp-remote, sdk", "mcp-remote, client auto"}, c.name)
})

// signsIn keeps the token from a library: it has the server's URL and nothing else.
func signsIn(library func(context.Context, *visit) (outcome, error)) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (outcome, error) {
		v.signsIn = true
		return library(ctx, v)
	}
}

// inspector is the inspector's one-shot command line: every method is a connection of its own.
func inspector(era string) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (o outcome, err error) {
		ask := func(take func([]byte) error, args ...string) {
			if err != nil {
				return
			}
			var printed []byte
			command := []string{v.programs.node, v.programs.inspector, "--cli", v.url(), "--transport", "http", "--protocol-era", era, "--format", "json"}
			if !v.signsIn {
				command = append(command, "--header", "Authorization: Bearer "+v.token)
			}
			printed, err = v.run(ctx, append(command, args...)...)
			var envelope struct {
				Result json.RawMessage `json:"result"`
			}
			if err == nil {
				err = errors.Join(json.Unmarshal(printed, &envelope), take(envelope.Result))
			}
		}
		ask(o.takeTools, "--method", "tools/list")
		ask(o.takeCall, "--method", "tools/call", "--tool-name", v.server.slow.Tool, "--tool-args-json", v.server.slow.json())
		return o, err
	}
}

// inspectorSignsIn has the inspector open a browser; its second connection goes by what it kept of the first.
func inspectorSignsIn(ctx context.Context, v *visit) (o outcome, err error) {
	if err := v.putBrowser(); err != nil {
		return o, err
	}
	v.env = append(v.env, "MCP_AUTO_OPEN_ENABLED=true")
	o, err = signsIn(inspector("auto"))(ctx, v)
	if err == nil && !v.printed.contains("Please navigate to: "+v.system.OAuth+"/") {
		err = errors.New("the inspector had nobody sign in")
	}
	return o, err
}

// json is the arguments as text.
func (c call) json() string {
	text, _ := json.Marshal(c.Arguments) // maps of texts and numbers cannot fail
	return string(text)
}

// job is what a script is asked for.
type job struct {
	call
	URL     string   `json:"url,omitempty"`
	Era     string   `json:"era,omitempty"`
	SignIn  string   `json:"signIn,omitempty"`  // as whom, in a browser, without a token
	Program []string `json:"program,omitempty"` // an MCP server on stdio, instead of a URL
	Again   string   `json:"again,omitempty"`   // a file that is made when a second call is to follow
}

// script runs a library's script.
func (v *visit) script(ctx context.Context, path string, j job) (o outcome, err error) {
	j.call = v.server.slow
	if v.signsIn {
		j.SignIn = v.client.user
	}
	if v.again {
		j.Again = filepath.Join(v.dir, fmt.Sprintf("again-%d", v.before))
		announced, end := v.announceSleep(ctx, j.Again)
		defer end()
		ctx = announced
	}
	text, err := json.Marshal(j)
	if err != nil {
		return o, err
	}
	printed, err := v.run(ctx, v.programs.node, path, string(text))
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(printed, &o)
}

// announceSleep makes a file when the server sleeps, and goes on meanwhile, until end is called. The context that it returns ends
// where that will not come.
func (v *visit) announceSleep(ctx context.Context, path string) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := v.awaitSleep(ctx)
		if err == nil {
			err = os.WriteFile(path, nil, 0o600)
		}
		if err != nil {
			fmt.Fprintln(&v.printed, err)
			cancel()
		}
	}()
	return ctx, func() { cancel(); <-done }
}

func sdk(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.sdk, job{URL: v.url()})
}

func library(era string) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (outcome, error) {
		return v.script(ctx, v.programs.client, job{URL: v.url(), Era: era})
	}
}

// mcp-remote is an MCP server on stdio to its client, and a client of ours; it begins with a request without a token.
func (v *visit) remote(more ...string) []string {
	return append([]string{v.programs.node, v.programs.remote, v.url(), "--allow-http", "--transport", "http-only"}, more...)
}

// remoteWithToken looks into its environment itself.
func (v *visit) remoteWithToken() []string {
	return v.remote("--header", "Authorization: Bearer ${TOKEN}")
}

func remoteSDK(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.sdk, job{Program: v.remoteWithToken()})
}

func remoteClient(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.client, job{Program: v.remoteWithToken(), Era: "auto"})
}

// remoteSignsIn has mcp-remote find out where to sign in, and open a browser there.
func remoteSignsIn(ctx context.Context, v *visit) (o outcome, err error) {
	if err := v.putBrowser(); err != nil {
		return o, err
	}
	o, err = v.script(ctx, v.programs.sdk, job{Program: v.remote()})
	if err == nil && !v.printed.contains("Discovered authorization server: "+v.system.OAuth+"\n") {
		err = errors.New("mcp-remote did not find out where to sign in")
	}
	return o, err
}

// putBrowser has clients open our browser. mcp-remote looks for /usr/bin/xdg-open, which a machine without a desktop does not
// have, and then for the program gio; the inspector brings an xdg-open of its own, which goes by the environment.
func (v *visit) putBrowser() error {
	dir := filepath.Join(v.dir, "desktop")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	browser := filepath.Join(filepath.Dir(v.programs.sdk), "browser.mjs")
	text := fmt.Sprintf("#!/bin/bash\nUSER_NAME=%s exec %q %q \"${@: -1}\"\n", v.client.user, v.programs.node, browser)
	for n, variable := range v.env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			v.env[n] = "PATH=" + dir + string(os.PathListSeparator) + path
		}
	}
	program := filepath.Join(dir, "gio")
	v.env = append(v.env, "BROWSER="+program)
	return os.WriteFile(program, []byte(text), 0o700)
}

// goFixture is the Go SDK's client. It prints nothing that says what it was shown, but it calls every tool that it sees:
// what it saw is what the shim recorded. It can send no token, so a front adds it.
func goFixture(ctx context.Context, v *visit) (o outcome, err error) {
	front, err := proxytest.ListenFront()
	if err != nil {
		return o, err
	}
	defer front.Close()
	host, err := url.Parse(v.system.URL)
	if err != nil {
		return o, err
	}
	if err := front.Serve(proxytest.Lending{Gateway: v.system.URL, Token: v.token, Host: host.Host}); err != nil {
		return o, err
	}
	v.env = append(v.env, "MCP_CONFORMANCE_SCENARIO=http-invalid-tool-headers")
	if _, err := v.run(ctx, v.programs.goClient, front.URL+proxytest.Path(v.server.id)); err != nil {
		return o, err
	}
	if v.printed.contains("rejected") {
		return o, errors.New("a call was rejected")
	}
	records, err := v.recordsOfCall(ctx)
	for _, r := range records {
		if isCall(r) && r.Outcome == audit.Forwarded {
			o.Tools = append(o.Tools, r.CallIdentifier)
		}
	}
	o.Text = fmt.Sprintf("called %d", len(o.Tools))
	return o, err
}
