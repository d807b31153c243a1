package main

import "testing"

// VS Code registers pages of its own and this machine, where it listens at any port.
func TestVSCode(t *testing.T) {
	for _, redirect := range []string{"https://vscode.dev/redirect", "https://insiders.vscode.dev/redirect", "http://127.0.0.1:33418/", "http://127.0.0.1:61000/"} {
		newRig(t, twoServers).signsIn(shape{redirect: redirect, register: `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com",
			"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],
			"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],
			"token_endpoint_auth_method":"none","application_type":"native"}`})
	}
}
