package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAuthorizeRefuses(t *testing.T) {
	r := newRig(t, twoServers)
	for name, tc := range map[string]struct {
		change url.Values
		want   string // the error that the client is told; empty: the person is, and nobody is sent anywhere
	}{
		"unknown client":    {url.Values{"client_id": {"nobody"}}, ""},
		"no client":         {url.Values{"client_id": nil}, ""},
		"two clients":       {url.Values{"client_id": {staticID, staticID}}, ""},
		"other redirect":    {url.Values{"redirect_uri": {"http://localhost.evil.com/cb"}}, ""},
		"user in redirect":  {url.Values{"redirect_uri": {"http://127.0.0.1@evil.com/cb"}}, ""},
		"dots in redirect":  {url.Values{"redirect_uri": {"http://127.0.0.1/x/../cb"}}, ""},
		"agent":             {url.Values{"client_id": {agentID}}, ""},
		"token":             {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"no challenge":      {url.Values{"code_challenge": nil}, "invalid_request"},
		"plain":             {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"no method":         {url.Values{"code_challenge_method": nil}, "invalid_request"},
		"form_post":         {url.Values{"response_mode": {"form_post"}}, "invalid_request"},
		"request object":    {url.Values{"request": {"x"}}, "request_not_supported"},
		"request_uri":       {url.Values{"request_uri": {"https://x.example/"}}, "request_uri_not_supported"},
		"none":              {url.Values{"prompt": {"none"}}, "interaction_required"},
		"no resource":       {url.Values{"resource": nil}, "invalid_target"},
		"two resources":     {url.Values{"resource": {r.resource("notes"), r.resource("other")}}, "invalid_target"},
		"foreign resource":  {url.Values{"resource": {"https://evil.example/mcp-connect/notes"}}, "invalid_target"},
		"resource's slash":  {url.Values{"resource": {r.resource("notes") + "/"}}, "invalid_target"},
		"resource with dot": {url.Values{"resource": {r.gateway + "/mcp-connect/../notes"}}, "invalid_target"},
		"long state":        {url.Values{"state": {strings.Repeat("s", 4000)}}, "invalid_request"},
	} {
		q := r.request(staticID, staticRedirect)
		for parameter, values := range tc.change {
			q[parameter] = values
		}
		status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+q.Encode(), nil)
		if tc.want == "" && (status != 400 || location != "") {
			t.Errorf("%s: %d %q", name, status, location)
		}
		u, _ := url.Parse(location)
		if tc.want != "" && (!strings.HasPrefix(location, staticRedirect+"?") || u.Query().Get("error") != tc.want || u.Query().Get("iss") != r.url || u.Query().Get("state") != q.Get("state")) {
			t.Errorf("%s: %d %q", name, status, location)
		}
	}
}

// A client that anybody could have registered is no way to send people to a page of one's own.
func TestNoOpenRedirect(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["https://evil.example/cb"],"token_endpoint_auth_method":"none"}`)
	q := r.request(m["client_id"].(string), "https://evil.example/cb")
	q.Set("response_type", "x")
	if status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+q.Encode(), nil); status != 400 || location != "" {
		t.Errorf("%d %q", status, location)
	}
}

func TestProtectedPages(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	q := r.request(staticID, staticRedirect)
	_, to, _ := r.visit(b, "GET", r.url+"/authorize?"+q.Encode(), nil)
	_, back, _ := r.visit(b, "POST", to, url.Values{"user": {"alice"}})
	resp, err := b.Get(back)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	csp := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' http://127.0.0.1;"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%q lacks %s", csp, want)
		}
	}
	if resp.Header.Get("X-Frame-Options") != "DENY" || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(csp, "script") {
		t.Errorf("%v", resp.Header)
	}
}

func TestMetadataPlaces(t *testing.T) {
	r := newRig(t, twoServers)
	for path, authorize := range map[string]string{
		"/.well-known/oauth-authorization-server":                   "/authorize",
		"/.well-known/openid-configuration":                         "/authorize",
		"/.well-known/oauth-authorization-server/mcp-connect/notes": "/authorize/mcp-connect/notes",
		"/.well-known/openid-configuration/mcp-connect/notes":       "/authorize/mcp-connect/notes",
		"/mcp-connect/notes/.well-known/openid-configuration":       "/authorize/mcp-connect/notes",
		"/.well-known/oauth-authorization-server/x":                 "",
		"/.well-known/oauth-authorization-server/mcp-connect/NOTES": "",
		"/.well-known/openid-configuration/mcp-connect/notes/x":     "",
		"/mcp-connect/no_label/.well-known/openid-configuration":    "",
	} {
		resp, err := http.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&m)
		resp.Body.Close()
		if authorize == "" {
			if resp.StatusCode != 404 {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
			continue
		}
		if m["issuer"] != r.url || m["authorization_endpoint"] != r.url+authorize || resp.Header.Get("Access-Control-Allow-Origin") != "*" ||
			m["authorization_response_iss_parameter_supported"] != true || m["client_id_metadata_document_supported"] != true {
			t.Errorf("%s: %v", path, m)
		}
		for name, want := range map[string]string{"code_challenge_methods_supported": "[S256]", "response_types_supported": "[code]",
			"token_endpoint_auth_methods_supported":         "[none client_secret_basic client_secret_post private_key_jwt]",
			"introspection_endpoint_auth_methods_supported": "[client_secret_basic client_secret_post private_key_jwt]"} {
			if got := fmt.Sprint(m[name]); got != want {
				t.Errorf("%s: %s: %s", path, name, got)
			}
		}
	}
}

func TestHost(t *testing.T) {
	r := newRig(t, twoServers)
	req, _ := http.NewRequest("GET", r.url+"/authorize", nil)
	req.Host = "evil.example"
	if resp, err := http.DefaultTransport.RoundTrip(req); err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("%v, %v", resp, err)
	}
}

// A store that is down is no reason to send anybody away for good.
func TestStoreDown(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	r.down()
	if a := r.refresh(a.Refresh); a.Status != 503 || a.Error != "temporarily_unavailable" {
		t.Errorf("%+v", a)
	}
	r.restart()
	if a := r.refresh(a.Refresh); a.Status != 200 {
		t.Errorf("up again: %+v", a)
	}
}
