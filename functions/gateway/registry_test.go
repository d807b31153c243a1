package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/policy"
)

// registryRequest is alice's, who is in engineering.
func (r *rig) registryRequest(t *testing.T, method, path string, header ...string) *http.Request {
	t.Helper()
	req := r.request(t, method, "x", "", append([]string{"Authorization", "Bearer " + r.issuer.Token(t, "alice", public, []string{"engineering"}, nil)}, header...)...)
	u, err := url.Parse(r.URL + "/v0.1/servers" + path)
	if err != nil {
		t.Fatal(err)
	}
	req.URL = u
	return req
}

func TestRegistryList(t *testing.T) {
	r := newRig(t, answerJSON)
	r.change(t, func(_ *catalog.Platform, c *catalog.Catalog) {
		c.Servers[0].Title, c.Servers[0].Description = "GitHub", "Issues & pull requests"
	})
	resp, body := r.do(t, r.registryRequest(t, "GET", ""))
	since := r.gateway.current.Load().since.UTC().Format("2006-01-02T15:04:05Z")
	meta := `"_meta":{"io.modelcontextprotocol.registry/official":{"status":"active","updatedAt":"` + since + `","isLatest":true}}`
	github := `{"server":{"$schema":"https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json","name":"test.gateway/github","title":"GitHub",` +
		`"description":"Issues \u0026 pull requests","version":"1.0.0","remotes":[{"type":"streamable-http","url":"https://gateway.test/mcp-connect/github"}]},` + meta + `}`
	mine := `{"server":{"$schema":"https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json","name":"test.gateway/mine",` +
		`"description":"The MCP server mine","version":"1.0.0","remotes":[{"type":"streamable-http","url":"https://gateway.test/mcp-connect/mine"}]},` + meta + `}`
	want := `{"servers":[` + github + `,` + mine + `],"metadata":{"count":2}}`
	if diff := cmp.Diff(want, body); diff != "" || resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, diff)
	}
	if h := resp.Header; h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Server-Timing") == "" {
		t.Errorf("headers %v", h)
	}
	for path, want := range map[string]string{
		"/test.gateway%2Fgithub":                     github,
		"/test.gateway%2Fgithub/versions":            `{"servers":[` + github + `],"metadata":{"count":1}}`,
		"/test.gateway%2fgithub/versions/latest":     github,
		"/test.gateway%2Fgithub/versions/1.0.0":      github,
		"?search=GIT":                                `{"servers":[` + github + `],"metadata":{"count":1}}`,
		"?search=pull":                               `{"servers":[` + github + `],"metadata":{"count":1}}`,
		"?search=secret":                             `{"servers":[],"metadata":{"count":0}}`,
		"?search=test.gateway%2Fmi":                  `{"servers":[` + mine + `],"metadata":{"count":1}}`,
		"?version=latest&limit=500&unknown=1&cursor": want,
		"?version=1.0.0&include_deleted=true":        want,
		"?version=2.0.0":                             `{"servers":[],"metadata":{"count":0}}`,
		"?updated_since=" + since:                    want,
		"?updated_since=2999-01-01T00:00:00%2B01:00": `{"servers":[],"metadata":{"count":0}}`,
	} {
		if resp, body := r.do(t, r.registryRequest(t, "GET", path)); body != want || resp.StatusCode != 200 {
			t.Errorf("%s: %d\n%s\n%s", path, resp.StatusCode, body, want)
		}
	}
	if resp, body := r.do(t, r.registryRequest(t, "HEAD", "")); body != "" || resp.StatusCode != 200 || resp.ContentLength != int64(len(want)) {
		t.Errorf("HEAD: %d %q, %d", resp.StatusCode, body, resp.ContentLength)
	}
	if n := r.deployer.ensured.Load() + r.deployer.found.Load(); n != 0 {
		t.Errorf("the deployer was asked %d times", n)
	}
}

// Pages hold exactly what the caller may use, each once, in order.
func TestRegistryPages(t *testing.T) {
	r := newRig(t, answerJSON)
	var want []string
	r.change(t, func(_ *catalog.Platform, c *catalog.Catalog) {
		c.Servers = nil
		for i := range 40 {
			c.Servers = append(c.Servers, catalog.Server{ID: fmt.Sprintf("s%02d", 39-i)})
			if i%3 == 0 {
				want = append(want, fmt.Sprintf("test.gateway/s%02d", i))
			}
		}
		allow := policy.Policy{Name: "some", Allow: &policy.Subjects{Groups: []string{"engineering"}}}
		for _, name := range want {
			allow.Servers = append(allow.Servers, strings.TrimPrefix(name, "test.gateway/"))
		}
		c.Policies = []policy.Policy{allow}
	})
	for _, limit := range []int{1, 2, 7, 13, 14, 30} {
		var got []string
		pages, cursor := 0, ""
		for {
			_, body := r.do(t, r.registryRequest(t, "GET", fmt.Sprintf("?limit=%d&cursor=%s", limit, url.QueryEscape(cursor))))
			var page registryList
			if err := json.Unmarshal([]byte(body), &page); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if len(page.Servers) > limit || page.Metadata.Count != len(page.Servers) || len(page.Servers) == 0 {
				t.Fatalf("a page of %d, count %d, limit %d", len(page.Servers), page.Metadata.Count, limit)
			}
			for _, e := range page.Servers {
				got = append(got, e.Server.Name)
			}
			pages++
			if cursor = page.Metadata.NextCursor; cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != (len(want)+limit-1)/limit {
			t.Errorf("limit %d, %d pages: %s", limit, pages, diff)
		}
	}
}

// The texts and names that are listed fit the schema, whatever the operator wrote.
func TestRegistryEntriesFitTheSchema(t *testing.T) {
	name := regexp.MustCompile(`^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`)
	for address, want := range map[string]string{"https://mcp.example.com": "com.example.mcp/a", "http://localhost:8080": "localhost/a",
		"http://127.0.0.1:8080": "127.0.0.1/a", "http://[::1]:8080": "--1/a"} {
		namespace, err := namespaceOf(address)
		if err != nil {
			t.Fatal(err)
		}
		c := &call{r: &http.Request{Host: "x"}, snapshot: &snapshot{platform: &catalog.Platform{PublicURL: address}, namespace: namespace}}
		for _, text := range []string{"", "a", strings.Repeat("ä", 100), strings.Repeat("ä", 101)} {
			e := c.registryEntry(&catalog.Server{ID: "a", Title: text, Description: text}).Server
			if n := len([]rune(e.Description)); e.Name != want || !name.MatchString(e.Name) || n < 1 || n > 100 || len([]rune(e.Title)) > 100 {
				t.Errorf("%+v", e)
			}
		}
	}
}

func TestRegistryRefusals(t *testing.T) {
	r := newRig(t, answerJSON)
	server := "Bearer " + r.token(t, "alice", "github")
	for _, c := range []struct {
		name, method, path string
		header             []string
		status             int
		body               string
	}{
		{"no token", "GET", "", []string{"Authorization", ""}, 401, `{"error":"Sign in: send an access token for https://gateway.test as Authorization: Bearer"}`},
		{"no token, one server", "GET", "/test.gateway%2Fgithub", []string{"Authorization", ""}, 401, `{"error":"Sign in: send an access token for https://gateway.test as Authorization: Bearer"}`},
		{"a server's token", "GET", "", []string{"Authorization", server}, 401, `{"error":"The access token was refused: the token was issued for another audience (aud) than this server; sign in again"}`},
		{"evil Host", "GET", "", []string{"Host", "evil.test"}, 403, ""},
		{"evil Origin", "GET", "", []string{"Origin", "https://evil.test"}, 403, ""},
		{"evil preflight", "OPTIONS", "", []string{"Origin", "https://evil.test", "Authorization", ""}, 403, ""},
		{"POST", "POST", "", nil, 405, `{"error":"Use GET: what is listed comes from the catalog"}`},
		{"PUT", "PUT", "/test.gateway%2Fgithub/versions/1.0.0", nil, 405, ""},
		{"not admitted", "GET", "/test.gateway%2Fsecret", nil, 404, `{"error":"Server not found"}`},
		{"unknown", "GET", "/test.gateway%2Fnothing/versions/latest", nil, 404, `{"error":"Server not found"}`},
		{"another namespace", "GET", "/com.example%2Fgithub", nil, 404, `{"error":"Server not found"}`},
		{"another version", "GET", "/test.gateway%2Fgithub/versions/1.0.1", nil, 404, `{"error":"Server not found"}`},
		{"no namespace", "GET", "/github", nil, 404, `{"error":"Server not found"}`},
		{"a bare slash", "GET", "/", nil, 404, `{"error":"Server not found"}`},
		{"not escaped", "GET", "/test.gateway/github", nil, 404, `{"error":"Server not found"}`},
		{"dots", "GET", "/test.gateway%2F..%2Fgithub", nil, 404, `{"error":"Server not found"}`},
		{"longer", "GET", "/test.gateway%2Fgithub/versions/latest/status", nil, 404, `{"error":"Server not found"}`},
		{"cursor", "GET", "?cursor=%2e%2e%2f", nil, 400, `{"error":"The argument cursor is not valid"}`},
		{"cursor of bytes", "GET", "?cursor=MTqA", nil, 400, `{"error":"The argument cursor is not valid"}`},
		{"cursor that is long", "GET", "?cursor=" + strings.Repeat("MTph", 100), nil, 400, `{"error":"The argument cursor is not valid"}`},
		{"limit", "GET", "?limit=0", nil, 400, `{"error":"The argument limit is not valid"}`},
		{"limit that is huge", "GET", "?limit=99999999999999999999", nil, 400, `{"error":"The argument limit is not valid"}`},
		{"limit twice", "GET", "?limit=1&limit=2", nil, 400, `{"error":"The argument limit is not valid"}`},
		{"search", "GET", "?search=" + strings.Repeat("a", 257), nil, 400, `{"error":"The argument search is not valid"}`},
		{"time", "GET", "?updated_since=yesterday", nil, 400, `{"error":"The argument updated_since is not valid"}`},
		{"escape", "GET", "?search=%zz", nil, 400, `{"error":"The query is malformed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := r.do(t, r.registryRequest(t, c.method, c.path, c.header...))
			if resp.StatusCode != c.status || c.body != "" && body != c.body || !json.Valid([]byte(body)) || !strings.HasPrefix(body, `{"error":"`) {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, c.status, c.body)
			}
			challenge := resp.Header.Get("WWW-Authenticate")
			if c.status == 401 != strings.Contains(challenge, `resource_metadata="https://gateway.test/.well-known/oauth-protected-resource"`) {
				t.Errorf("challenge %q", challenge)
			}
			if c.status == 405 && resp.Header.Get("Allow") != "GET" {
				t.Errorf("headers %v", resp.Header)
			}
		})
	}
	// And a token for the list opens no server.
	req := r.request(t, "POST", "github", echo, "Authorization", r.registryRequest(t, "GET", "").Header.Get("Authorization"))
	if resp, _ := r.do(t, req); resp.StatusCode != 401 {
		t.Errorf("the list's token at a server: %d", resp.StatusCode)
	}
}

func TestRegistryUnknownIsNotAdmittedByteForByte(t *testing.T) {
	r := newRig(t, answerJSON)
	one, oneBody := r.do(t, r.registryRequest(t, "GET", "/test.gateway%2Fsecret/versions/latest"))
	two, twoBody := r.do(t, r.registryRequest(t, "GET", "/test.gateway%2Fnothing/versions/latest"))
	for _, h := range []http.Header{one.Header, two.Header} {
		for _, name := range []string{"Date", "X-Request-Id", "Server-Timing"} { // differ between any two answers
			h.Del(name)
		}
	}
	if d := cmp.Diff(oneBody, twoBody) + cmp.Diff(one.Header, two.Header); d != "" || one.StatusCode != 404 || two.StatusCode != 404 {
		t.Errorf("%d, %d %s", one.StatusCode, two.StatusCode, d)
	}
}

func TestRegistryBesideTheRest(t *testing.T) {
	r := newRig(t, answerJSON)
	// Where to sign in.
	req := r.registryRequest(t, "GET", "")
	req.URL.Path = "/.well-known/oauth-protected-resource"
	want := `{"resource":"https://gateway.test","authorization_servers":["https://issuer.test","https://partner.test"],"bearer_methods_supported":["header"]}` + "\n"
	if resp, body := r.do(t, req); resp.StatusCode != 200 || body != want {
		t.Errorf("metadata: %d %s", resp.StatusCode, body)
	}
	// Pages that may ask.
	resp, _ := r.do(t, r.registryRequest(t, "OPTIONS", "", "Authorization", "", "Origin", "http://localhost:6274", "Access-Control-Request-Method", "GET"))
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "http://localhost:6274" || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "GET") {
		t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
	}
	// Other hosts are the same gateway, and the address is the one that was asked.
	slash := r.issuer.Token(t, "alice", "https://127.0.0.1/", []string{"engineering"}, nil)
	if _, body := r.do(t, r.registryRequest(t, "GET", "", "Host", "127.0.0.1", "Authorization", "Bearer "+slash)); !strings.Contains(body, `"name":"test.gateway/github"`) ||
		!strings.Contains(body, `"url":"https://127.0.0.1/mcp-connect/github"`) {
		t.Errorf("at another host: %s", body)
	}
	// Limits are those of calls, and streams are no matter here.
	r.change(t, func(p *catalog.Platform, _ *catalog.Catalog) {
		p.Limits.CallsPerSecond, p.Limits.Burst, p.Limits.Streams = 1, 3, 0
	})
	statuses := map[int]int{}
	for range 8 {
		resp, _ := r.do(t, r.registryRequest(t, "GET", ""))
		statuses[resp.StatusCode]++
	}
	if statuses[200] < 3 || statuses[429] < 4 || statuses[200]+statuses[429] != 8 {
		t.Errorf("at a burst of 3: %v", statuses)
	}
}

// What the cursor names may be gone.
func TestRegistryCursorOfWhatIsGone(t *testing.T) {
	c := &call{r: &http.Request{Host: "x"}, snapshot: &snapshot{platform: &catalog.Platform{PublicURL: "https://x"}, namespace: "x", since: time.Now(),
		listed: []*catalog.Server{{ID: "a"}, {ID: "c"}}}}
	set, err := policy.CompileAdmission([]policy.Policy{{Name: "all", Allow: &policy.Subjects{Anyone: true}, Servers: []string{"*"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.policies = set
	for after, want := range map[string][]string{"": {"x/a", "x/c"}, "a": {"x/c"}, "b": {"x/c"}, "c": nil, "z": nil} {
		var got []string
		for _, e := range c.registryPage(registryQuery{after: after, limit: 5, version: "latest"}).Servers {
			got = append(got, e.Server.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %q: %v", after, got)
		}
	}
}
