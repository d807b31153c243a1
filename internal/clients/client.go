package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

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

// expects is the era that client and server should agree on.
func (c client) expects(s server) string {
	if c.newest == modern {
		return s.era
	}
	return legacy
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
	{name: "Go fixture client", user: harmless, newest: modern, visit: goFixture},
}

// inspector is the inspector's one-shot command line: every method is a connection of its own.
func inspector(era string) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (o outcome, err error) {
		ask := func(take func([]byte) error, args ...string) {
			if err != nil {
				return
			}
			var printed []byte
			printed, err = v.run(ctx, append([]string{v.programs.node, v.programs.inspector, "--cli", v.url(), "--transport", "http",
				"--protocol-era", era, "--header", "Authorization: Bearer " + v.token, "--format", "json"}, args...)...)
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
	Program []string `json:"program,omitempty"` // an MCP server on stdio, instead of a URL
}

// script runs a library's script.
func (v *visit) script(ctx context.Context, path string, j job) (o outcome, err error) {
	j.call = v.server.slow
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

func sdk(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.sdk, job{URL: v.url()})
}

func library(era string) func(context.Context, *visit) (outcome, error) {
	return func(ctx context.Context, v *visit) (outcome, error) {
		return v.script(ctx, v.programs.client, job{URL: v.url(), Era: era})
	}
}

// mcp-remote is an MCP server on stdio to its client, and a client of ours; it begins with a request without a token.
func (v *visit) remote() []string {
	return []string{v.programs.node, v.programs.remote, v.url(), "--allow-http", "--transport", "http-only",
		"--header", "Authorization: Bearer ${TOKEN}"} // it looks into its environment itself
}

func remoteSDK(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.sdk, job{Program: v.remote()})
}

func remoteClient(ctx context.Context, v *visit) (outcome, error) {
	return v.script(ctx, v.programs.client, job{Program: v.remote(), Era: "auto"})
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
