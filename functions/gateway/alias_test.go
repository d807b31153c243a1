package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

const aliasDomain = "servers.test:8443"

// aliasRig is a gateway whose servers have hosts of their own, and the path of the last request that a shim got.
func aliasRig(t *testing.T) (*rig, *atomic.Value) {
	path := &atomic.Value{}
	path.Store("")
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		path.Store(q.URL.Path)
		answerJSON(w, q)
	})
	r.version.Platform.Domain = aliasDomain
	if err := r.gateway.accept(r.version); err != nil {
		t.Fatal(err)
	}
	return r, path
}

// at is a request to a path at a host, with a token of alice's for an audience; none where that is empty.
func (r *rig) at(t *testing.T, method, host, path, audience string) (*http.Response, string) {
	t.Helper()
	req := r.request(t, method, "x", echo, "Authorization", "")
	req.URL.Path, req.Host = path, host
	if audience != "" {
		req.Header.Set("Authorization", "Bearer "+r.issuer.Token(t, "alice", audience, []string{"engineering"}, nil))
	}
	return r.do(t, req)
}

// A server is also at a host of its own: with its shim's path behind, and its own audience and metadata.
func TestAlias(t *testing.T) {
	r, path := aliasRig(t)
	const host, alias = "github." + aliasDomain, "https://github." + aliasDomain + "/mcp"
	for name, audience := range map[string]string{"for the alias": alias, "for the other URL": public + "/mcp-connect/github"} {
		for _, host := range []string{host, strings.ToUpper(host)} {
			path.Store("")
			if resp, body := r.at(t, "POST", host, "/mcp", audience); resp.StatusCode != 200 || path.Load() != "/mcp-connect/github" {
				t.Errorf("%s at %s: %d %s, at the shim %s", name, host, resp.StatusCode, body, path.Load())
			}
		}
	}
	if resp, body := r.at(t, "POST", "gateway.test", "/mcp-connect/github", alias); resp.StatusCode != 200 {
		t.Errorf("a token for the alias at the other URL: %d %s", resp.StatusCode, body)
	}
	resp, _ := r.at(t, "POST", host, "/mcp", "")
	if want := `resource_metadata="https://` + host + `/.well-known/oauth-protected-resource/mcp"`; resp.StatusCode != 401 || !strings.Contains(resp.Header.Get("WWW-Authenticate"), want) {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
	for _, at := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"} {
		resp, body := r.at(t, "GET", host, at, "")
		var m metadata
		if err := json.Unmarshal([]byte(body), &m); err != nil || resp.StatusCode != 200 || m.Resource != alias || len(m.AuthorizationServers) == 0 || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", at, resp.StatusCode, body)
		}
	}
}

func TestAliasIsOneServer(t *testing.T) {
	r, path := aliasRig(t)
	const host, alias = "github." + aliasDomain, "https://github." + aliasDomain + "/mcp"
	for name, tt := range map[string]struct {
		method, host, path, audience string
		status                       int
	}{
		"another server's token":     {"POST", "mine." + aliasDomain, "/mcp", alias, 401},
		"not admitted":               {"POST", "secret." + aliasDomain, "/mcp", "https://secret." + aliasDomain + "/mcp", 403},
		"unknown":                    {"POST", "unknown." + aliasDomain, "/mcp", "https://unknown." + aliasDomain + "/mcp", 403},
		"unknown, without a token":   {"POST", "unknown." + aliasDomain, "/mcp", "", 401},
		"another server's path":      {"POST", host, "/mcp-connect/mine", public + "/mcp-connect/mine", 404},
		"its own path":               {"POST", host, "/mcp-connect/github", alias, 404},
		"a slash more":               {"POST", host, "/mcp/", alias, 404},
		"the list of servers":        {"GET", host, "/v0.1/servers", alias, 404},
		"probes":                     {"GET", host, "/readyz", "", 404},
		"another server's metadata":  {"GET", host, "/.well-known/oauth-protected-resource/mcp-connect/mine", "", 404},
		"/mcp at the gateway's host": {"POST", "gateway.test", "/mcp", alias, 404},
		"the domain itself":          {"POST", aliasDomain, "/mcp-connect/github", alias, 403},
		"a name below a server's":    {"POST", "a." + host, "/mcp-connect/github", alias, 403},
		"another port":               {"POST", "github.servers.test", "/mcp-connect/github", alias, 403},
		"no label":                   {"POST", "_." + aliasDomain, "/mcp-connect/github", alias, 403},
	} {
		path.Store("")
		if resp, body := r.at(t, tt.method, tt.host, tt.path, tt.audience); resp.StatusCode != tt.status || path.Load() != "" {
			t.Errorf("%s: %d %s, want %d; at the shim %q", name, resp.StatusCode, body, tt.status, path.Load())
		}
	}
}

// An evil page gets no further at a server's own host than at the gateway's.
func TestAliasChecksOrigin(t *testing.T) {
	r, _ := aliasRig(t)
	req := r.request(t, "POST", "x", echo, "Origin", "https://evil.example")
	req.URL.Path, req.Host = "/mcp", "github."+aliasDomain
	if resp, _ := r.do(t, req); resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	req = r.request(t, "OPTIONS", "x", "", "Origin", "http://localhost:6274", "Access-Control-Request-Method", "POST", "Authorization", "")
	req.URL.Path, req.Host = "/mcp", "github."+aliasDomain
	if resp, _ := r.do(t, req); resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}
