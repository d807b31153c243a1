package main

import "testing"

// Cursor registers three redirect URIs at once, and gives up where one of them is refused.
func TestCursor(t *testing.T) {
	for _, redirect := range []string{"cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"} {
		newRig(t, twoServers).signsIn(shape{redirect: redirect, register: `{"client_name":"Cursor","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback",
			"https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],"grant_types":["authorization_code","refresh_token"],
			"response_types":["code"],"token_endpoint_auth_method":"none"}`})
	}
}
