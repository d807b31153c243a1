// Package differential holds fuzz targets that give the same bytes to the parser that decides, to Node's JSON.parse, to
// encoding/json and to mcp-go, a real MCP server: a difference means that something was decided which the server, or
// the client, does not read.
//
// It has tests only, since mcp-go must not be linked where requests pass, and needs Node.js.
package differential
