package main

import (
	"fmt"
	"strings"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

// profiles are the runs that make the bar. A legacy client needs the fixture to keep sessions, a modern one needs it not
// to; in the other combinations the fixture fails by itself. server-everything is of the legacy era only, and most of what
// it fails asks for the suite's own tools and prompts: what counts is that it fails nothing more through us.
var profiles = []profile{
	{revision: "2025-11-25", server: "stateful-fixture", passed: 82, direct: fixture("-stateless=false"),
		ways: append(fixtureWays("-stateless=false"), oneEraWays(mcp.Modern, excusedModern)...)},
	{revision: "2026-07-28", server: "stateless-fixture", passed: 165, failed: 30, // failed: the tasks extension, not scored
		direct: fixture(), ways: append(fixtureWays(), oneEraWays(mcp.Legacy, excusedLegacy, "-stateless=false")...)},
	{revision: "2025-11-25", server: "server-everything", passed: 47, failed: 22, direct: everything, ways: everythingWays},
}

// profile is one revision's requirements with a server that can meet them, or some.
type profile struct {
	revision       string
	server         string // id in the catalog
	passed, failed int    // what is known of the server alone
	// direct is how the server runs as an HTTP server at an address, and the path of its endpoint.
	direct func(t tools, address string) (c proxytest.Command, path string)
	ways   []way
}

// way is how a server is reached through gateway and shim.
type way struct {
	name  string
	entry func(tools) string // lines of the catalog's entry
	pod   func(tools) string // the same from images, in a cluster or an engine; nil: only as a process
	// excused are the scenarios that cannot pass on this way, each with the reason.
	excused map[string]string
	// warned are the checks of a SHOULD that may end in a warning on this way, each with the reason. A failure is a loss
	// all the same.
	warned map[string]string
}

// fixture runs the suite's fixture.
func fixture(args ...string) func(tools, string) (proxytest.Command, string) {
	return func(t tools, address string) (proxytest.Command, string) {
		return proxytest.Command{Path: t.fixture, Args: append([]string{"-http=" + address}, args...)}, "/"
	}
}

// fixtureWays are both: the fixture speaks HTTP itself, or stdio behind the bridge. Without a flag it is a stdio server of
// both eras, whatever the profile.
func fixtureWays(args ...string) []way {
	return []way{
		{name: "http", entry: func(t tools) string {
			return fmt.Sprintf("runtime: {command: {exec: %q, args: %s, http: {path: /}}}", t.fixture,
				yamlList(append([]string{"-http=127.0.0.1:{port}"}, args...)))
		}, pod: func(tools) string {
			return fmt.Sprintf("runtime: {container: {image: %s, port: 3000, path: /, args: %s}}", fixtureImage,
				yamlList(append([]string{"-http=127.0.0.1:3000"}, args...)))
		}},
		{name: "stdio", excused: excusedStdio, warned: warnedStdio, entry: func(t tools) string {
			return fmt.Sprintf("runtime: {command: {exec: %q}}", t.fixture)
		}, pod: func(tools) string { return fmt.Sprintf("runtime: {npx: {package: %q}}", fixturePackage) }},
	}
}

// everything runs server-everything over its own streamable HTTP.
func everything(t tools, address string) (proxytest.Command, string) {
	_, port, _ := strings.Cut(address, ":")
	return proxytest.Command{Path: t.everything, Args: []string{"streamableHttp"}, Env: []string{"PORT=" + port}}, "/mcp"
}

// everythingWays are what an operator writes for a package of npm: it is installed, and its stdio bridged.
var everythingWays = []way{
	{name: "npx", excused: excusedStdio, entry: everythingEntry, pod: everythingEntry},
}

func everythingEntry(tools) string {
	return fmt.Sprintf("runtime: {npx: {package: %q, args: [stdio]}}\n    startup: {timeout: 2m}", peers.EverythingServer)
}

// excusedStdio need what only HTTP has.
var excusedStdio = map[string]string{
	"server-sse-polling": "an answer that nothing precedes goes out as JSON, which is the server's choice; the scenario looks at how " +
		"a stream begins",
	"server-sse-multiple-streams": "an answer that nothing precedes goes out as JSON, which is the server's choice; the scenario " +
		"then looks at no stream (INFO)",
	"http-custom-header-server-validation": "Mcp-Param headers repeat arguments for those who route; a server behind stdio sees no " +
		"header, so none can contradict what it reads",
}

// warnedStdio race in the fixture: its SDK (go-sdk 1.8.0, Server.subscriptionsListen) knows one listener a session, and the
// end of one takes the next one's subscription along. Over HTTP each has a session of its own; behind stdio all share one,
// and the suite opens the next while it leaves the last.
var warnedStdio = map[string]string{
	"sep-2575-server-sends-prompts-list-changed-on-subscription": oneListener,
	"sep-2575-server-sends-tools-list-changed-on-subscription":   oneListener,
}

const oneListener = "the fixture keeps one listener a connection, and one that ends takes the next one's subscription along"
