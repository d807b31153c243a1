package main

import (
	"net/url"
	"testing"
)

// ChatGPT registers a callback of one connector, and asks for no scope.
func TestChatGPT(t *testing.T) {
	first, _ := newRig(t, twoServers).signsIn(shape{redirect: "https://chatgpt.com/connector/oauth/abcDEF123", authorize: url.Values{"scope": {""}},
		register: `{"client_name":"ChatGPT","redirect_uris":["https://chatgpt.com/connector/oauth/abcDEF123"],"grant_types":["authorization_code","refresh_token"],
			"response_types":["code"],"token_endpoint_auth_method":"none"}`})
	if first.Scope != "mcp" {
		t.Errorf("it is not told its scope: %q", first.Scope)
	}
}
