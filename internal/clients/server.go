package main

import (
	"fmt"
	"strings"

	"mcpgateway/internal/peers"
)

// The eras, as the audit records name them.
const (
	legacy = "legacy"
	modern = "modern"
)

// server is one of the servers that the clients visit.
type server struct {
	id      string
	runtime string // as the catalog says it
	slow    call   // a tool that reports progress while it runs
	// any is a tool that takes any arguments: the Go fixture client calls whatever it sees, so it sees only this.
	any string
	// announce is a call after which a listener hears a log message; resource is something to subscribe to, which changes by
	// itself or after the call toggle. They are empty where the server has none.
	announce call
	resource string
	toggle   call
}

// call is a tool call and what must come of it.
type call struct {
	Tool      string         `json:"tool"`
	Arguments map[string]any `json:"arguments"`
	text      string         // what the result's text begins with
	steps     int            // progress notifications
	// brief marks a tool that is over so soon that a busy machine can hand its progress on in one go: then only the order
	// counts.
	brief bool
	// scattered marks notifications of a legacy session that come in any order: mcp-go v1.2.1 hands each to whichever of the
	// session's two streams asks first, and there is no order between two connections, nor does the result wait for both. It does so without us as well.
	scattered bool
}

func servers(p programs) []server {
	return []server{
		{
			id:       "sample",
			runtime:  `{command: {exec: sample-server, args: [-addr, "127.0.0.1:{port}"], http: {path: /mcp}}}`,
			slow:     call{Tool: "slow", Arguments: map[string]any{"seconds": 2}, text: "slept 2 s", steps: 10, scattered: true},
			any:      "headers",
			announce: call{Tool: "notify", Arguments: map[string]any{"message": "hear, hear"}, text: "notified"},
		},
		{
			id:      "fixture-http",
			runtime: fmt.Sprintf(`{command: {exec: %q, args: ["-http=127.0.0.1:{port}"], http: {path: /}}}`, p.goServer),
			slow:    call{Tool: "test_tool_with_progress", Arguments: map[string]any{}, steps: 3, brief: true},
			any:     "test_simple_text",
		},
		{
			id:       "fixture-stdio",
			runtime:  fmt.Sprintf(`{command: {exec: %q}}`, p.goServer),
			slow:     call{Tool: "test_tool_with_progress", Arguments: map[string]any{}, steps: 3, brief: true},
			any:      "test_simple_text",
			resource: "test://watched-resource",
		},
		{
			id:      "everything", // knows sessions only
			runtime: fmt.Sprintf(`{npx: {package: %q, args: [stdio]}}`, peers.EverythingServer),
			slow: call{Tool: "trigger-long-running-operation", Arguments: map[string]any{"duration": 2, "steps": 10},
				text: "Long running operation completed", steps: 10},
			any:      "get-tiny-image",
			resource: "demo://resource/dynamic/text/1",
			toggle:   call{Tool: "toggle-subscriber-updates", Arguments: map[string]any{}},
		},
	}
}

// The people of the development issuer: one who may use everything, and one who may use what takes any arguments.
const (
	everything = "alice"
	harmless   = "carol"
)

// catalogText is the catalog with all servers, which sleep after idle.
func catalogText(list []server, idle string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nservers:\n")
	for _, s := range list {
		fmt.Fprintf(&b, "  - {id: %s, runtime: %s, scale: {idle: %s}, startup: {timeout: 2m}}\n", s.id, s.runtime, idle)
	}
	b.WriteString("policies:\n  - {name: engineers, allow: {groups: [engineering]}, servers: [\"*\"]}\n")
	for _, s := range list {
		fmt.Fprintf(&b, "  - {name: all-%s, allow: {anyone: true}, servers: [%s], tools: [%s]}\n", s.id, s.id, s.any)
	}
	return b.String()
}
