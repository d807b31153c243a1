package main

import "testing"

// Claude Code is known by a document too, and listens at a port that its system gives it.
func TestClaudeCode(t *testing.T) {
	const id = "https://claude.ai/oauth/claude-code-client-metadata"
	for _, redirect := range []string{"http://localhost:54321/callback", "http://127.0.0.1:49999/callback"} {
		newRig(t, twoServers).signsIn(shape{client: id, redirect: redirect, document: `{"client_id":"` + id + `","client_name":"Claude Code",
			"redirect_uris":["http://localhost/callback","http://127.0.0.1/callback"],"grant_types":["authorization_code","refresh_token"],
			"response_types":["code"],"token_endpoint_auth_method":"none"}`})
	}
}
