package main

import (
	"net/url"
	"testing"
)

const (
	claudeID       = "https://claude.ai/oauth/mcp-oauth-client-metadata"
	claudeRedirect = "https://claude.ai/api/mcp/auth_callback"
	claudeDocument = `{"client_id":"` + claudeID + `","client_name":"Claude","client_uri":"https://claude.ai","redirect_uris":["https://claude.ai/api/mcp/auth_callback",
		"https://claude.com/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`
)

// Claude is known by its document, and asks for a refresh token by a scope.
func TestClaude(t *testing.T) {
	for _, redirect := range []string{claudeRedirect, "https://claude.com/api/mcp/auth_callback"} {
		newRig(t, twoServers).signsIn(shape{client: claudeID, document: claudeDocument, redirect: redirect, authorize: url.Values{"scope": {"mcp offline_access"}}})
	}
}
