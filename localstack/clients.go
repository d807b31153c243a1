package localstack

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime"

	"mcpgateway/internal/mcp"
)

// The versions of the packages that lines to paste run.
const (
	inspectorPackage = "@modelcontextprotocol/inspector@2.12.0"
	remotePackage    = "mcp-remote@0.15.1"
)

// paste is a way to use a server. Its line can be pasted into bash and zsh as it stands, or into a file where it begins
// with a brace.
type paste struct{ title, line string }

// showClients prints lines for a person's first server. What goes into a client's settings holds the token itself,
// since no shell is there to fill it in.
func (s *stack) showClients(b *bytes.Buffer, p person, token string) {
	fmt.Fprintln(b)
	for _, c := range s.pastes(p.servers[0], "Authorization: Bearer $"+variable(p), token) {
		fmt.Fprintf(b, "%s\n  %s\n", c.title, c.line)
	}
	fmt.Fprintln(b)
}

// pastes are the lines for a server. The header is the one with the token's variable.
func (s *stack) pastes(id, header, token string) []paste {
	address, call := s.platform.Resource(id), s.exampleFor(id)
	curl := fmt.Sprintf(`curl -sS %s -H "%s" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'`,
		address, header)
	settings := fmt.Sprintf(`"url":"%s","headers":{"Authorization":"Bearer %s"}`, address, token)
	return []paste{
		{"curl, a call of revision " + mcp.ModernVersion, fmt.Sprintf(`%s -H 'MCP-Protocol-Version: %s' -H 'Mcp-Method: %s'%s -d '%s'`,
			curl, mcp.ModernVersion, call.method, call.header, call.body())},
		{"curl, the start of a session of revision 2025-11-25", curl + ` -d '{"jsonrpc":"2.0","id":1,"method":"initialize",` +
			`"params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}'`},
		// The header goes last: the option takes any number of values.
		{"Claude Code", fmt.Sprintf(`claude mcp add --transport http %s %s --header "%s"`, id, address, header)},
		{"VS Code", fmt.Sprintf(`code --add-mcp '{"name":"%s","type":"http",%s}'`, id, settings)},
		{"Cursor", openLink("cursor://anysphere.cursor-deeplink/mcp/install?" + url.Values{
			"name": {id}, "config": {base64.StdEncoding.EncodeToString([]byte("{" + settings + "}"))}}.Encode())},
		{"Cursor and others, in ~/.cursor/mcp.json or a file like it", fmt.Sprintf(`{"mcpServers":{"%s":{%s}}}`, id, settings)},
		{"MCP inspector (needs Node.js 22.19 or newer)", fmt.Sprintf(
			`npx -y %s --cli %s --transport http --method tools/list --header "%s"`, inspectorPackage, address, header)},
		{"Clients that only start programs: the program, with the MCP server behind its standard input", fmt.Sprintf(
			`npx -y %s %s --allow-http --transport http-only --header "%s"`, remotePackage, address, header)},
	}
}

// openLink has the desktop open a link.
func openLink(link string) string {
	if runtime.GOOS == "darwin" {
		return "open '" + link + "'"
	}
	return "xdg-open '" + link + "'"
}

// example is a modern request.
type example struct{ method, header, params string }

// exampleFor calls a tool of the sample server, and lists the tools of any other.
func (s *stack) exampleFor(id string) example {
	if server, ok := s.catalog.Server(id); ok && server.Runtime.Command != nil && server.Runtime.Command.Exec == "sample-server" {
		return example{"tools/call", " -H 'Mcp-Name: echo'", `"name":"echo","arguments":{"message":"hello"},`}
	}
	return example{method: "tools/list"}
}

func (e example) body() string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"%s","params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"%s","io.modelcontextprotocol/clientInfo":{"name":"curl","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
		e.method, e.params, mcp.ModernVersion)
}
