package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/proxytest"
	"mcpgateway/internal/rules"
)

// filterServer is the argument with which the test program is an MCP server with a tool that filters.
const filterServer = "-filter-server"

// serveFilter decides by words of the message.
func serveFilter(port string) {
	s := server.NewMCPServer("filter", "1")
	schema := json.RawMessage(`{"type":"object"}`)
	s.AddTool(sdk.NewToolWithRawSchema(rules.FilterTool, "", schema), func(_ context.Context, r sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		var question struct{ Message json.RawMessage }
		if err := json.Unmarshal(r.Params.RawArguments, &question); err != nil {
			return nil, err
		}
		message, verdict := string(question.Message), `{"accept":true,"mutated":false,"reason":""}`
		switch {
		case strings.Contains(message, "forbidden"):
			verdict = `{"accept":false,"mutated":false,"reason":"no forbidden words"}`
		case strings.Contains(message, "secret"):
			verdict = `{"accept":true,"mutated":true,"message":` + strings.ReplaceAll(message, "secret", "******") + `,"reason":"masked"}`
		case strings.Contains(message, "broken"):
			return sdk.NewToolResultError("it is broken"), nil
		case strings.Contains(message, "crash"):
			os.Exit(3)
		case strings.Contains(message, "slow"):
			time.Sleep(5 * time.Second)
		}
		return &sdk.CallToolResult{RawStructuredContent: json.RawMessage(verdict), Content: []sdk.Content{}}, nil
	})
	log.Fatal(server.NewStreamableHTTPServer(s).Start("127.0.0.1:" + port))
}

// chained is a system whose servers have another one look at their calls: "guarded" holds to what it says, "lenient" goes on
// without it, and "far" asks it by way of "relay", whose own messages it looks at.
func chained(t *testing.T) *signing {
	t.Helper()
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	home := identitytest.Listen(t, "home")
	g := &signing{address: address, program: "oauth"}
	_, port, _ := strings.Cut(address, ":")
	sample := fmt.Sprintf(`runtime: {command: {exec: %s, args: [-addr, "127.0.0.1:{port}"], http: {}}}`, filepath.Join(programs, "sample-server"))
	filter := fmt.Sprintf(`runtime: {command: {exec: %q, args: [%s, "{port}"], http: {}}}, scale: {idle: %v}`, os.Args[0], filterServer, idle)
	reached := fmt.Sprintf(`egress: [{cidr: 127.0.0.1/32, ports: [{gateway}, %s]}], on: ["tools/call&direction=request"], mutate: true`, port)
	client := func(shim string) string {
		return fmt.Sprintf("{id: %[1]s-shim, secret: secrets/%[1]s-shim/oauth, shim: %[1]s}", shim)
	}
	g.system = startAs(t, layout{
		issuers: fmt.Sprintf("  - {name: home, url: %q, audiences: [\"{resource}\"]}\n  - {name: oauth, url: %q, audiences: [\"{resource}\"], brokers: [%q]}\n", home.URL, "http://"+address, home.URL),
		platform: fmt.Sprintf("oauth:\n  url: %q\n  provider: {url: %q, clientID: gateway}\n  clients: [%s, %s, %s, %s]\n", "http://"+address, home.URL,
			client("guarded"), client("lenient"), client("far"), client("relay")),
		servers: "  - {id: guarded, " + sample + ", filters: [check]}\n  - {id: lenient, " + sample + ", filters: [try]}\n  - {id: far, " + sample + ", filters: [ask-relay]}\n" +
			"  - {id: relay, " + filter + ", filters: [check]}\n  - {id: checker, " + filter + "}\n",
		policies: `  - {name: callers, allow: {groups: [engineering]}, servers: [guarded, lenient, far]}
  - {name: shims, allow: {users: ["oauth:guarded-shim", "oauth:lenient-shim", "oauth:relay-shim"]}, servers: [checker], tools: [filter]}
  - {name: far, allow: {users: ["oauth:far-shim"]}, servers: [relay], tools: [filter]}
filters:
  - {name: check, server: checker, ` + reached + `, timeout: 20s}
  - {name: try, server: checker, ` + reached + `, timeout: 1s, onError: accept}
  - {name: ask-relay, server: relay, ` + reached + `, timeout: 20s}
`,
		secrets: map[string]string{"guarded-shim/oauth": filterSecret, "lenient-shim/oauth": filterSecret, "far-shim/oauth": filterSecret, "relay-shim/oauth": filterSecret},
	})
	g.startOAuth()
	return g
}

const filterSecret = "what-the-shim-proves-itself-by"

// filters lists the processes of servers that filter.
func (s *system) filters() (running int) {
	s.t.Helper()
	for _, pid := range s.processes(filepath.Base(os.Args[0])) {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(b, []byte(filterServer)) {
			running++
		}
	}
	return running
}

// reviews are what a server's audit holds of its filters.
func (s *system) reviews(server string) (all []string) {
	s.t.Helper()
	s.judged(server, func(r audit.Record, v audit.Verdict) {
		all = append(all, strings.TrimSpace(strings.Join([]string{r.Subject, v.Name, v.Server, v.Tool, v.Status, v.Message}, " ")))
	})
	return all
}

// A server of the catalog filters the calls of another: it is woken for that, called as the shim and not as the caller, and
// stands in the record.
func TestServerFilters(t *testing.T) {
	g := chained(t)
	alice := g.token("alice", "guarded", engineering)
	says := func(message, want string) {
		t.Helper()
		if resp, body := g.call("guarded", alice, "echo", `{"message":"`+message+`"}`); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s; want %s", message, resp.StatusCode, body, want)
		}
	}
	if n := g.filters(); n != 0 {
		t.Fatalf("%d filters run before anybody calls", n)
	}
	says("plain", `"text":"plain"`)
	says("a secret", `a ******`)
	says("forbidden", `"error":{"code":-32001,"message":"Refused by a filter: no forbidden words"`)
	g.eventually("the filter sleeps", 20*time.Second, func() bool { return g.filters() == 0 })
	says("a secret", `a ******`)
	says("broken", `A filter could not check this`)
	says("crash", `A filter could not check this`)
	g.eventually("one that crashed is started again", 20*time.Second, func() bool {
		_, body := g.call("guarded", alice, "echo", `{"message":"plain"}`)
		return strings.Contains(body, `"text":"plain"`)
	})
	want := []string{"alice check checker filter ok", "alice check checker filter mutated masked", "alice check checker filter rejected no forbidden words", "alice check checker filter mutated masked",
		"alice check checker filter error the filter could not tell: it is broken"}
	g.eventually("the audit holds the verdicts", 5*time.Second, func() bool {
		return strings.HasPrefix(strings.Join(g.reviews("guarded"), "\n"), strings.Join(want, "\n"))
	})
	b, err := os.ReadFile(filepath.Join(g.dir, ".run", "logs", "checker", "audit.jsonl"))
	if err != nil || !strings.Contains(string(b), `"subject":"guarded-shim"`) || strings.Contains(string(b), `"subject":"alice"`) {
		t.Errorf("the filter's own record, %v: %s", err, b)
	}
	g.noSecretOnDisk(filterSecret, "eyJhbGci")
}

// Filters of filters: each is asked with a token of its own. A question that the second does not let pass is one that the first
// could not answer.
func TestServerFiltersOfFilters(t *testing.T) {
	g := chained(t)
	alice := g.token("alice", "far", engineering)
	for message, want := range map[string]string{"plain": `"text":"plain"`, "forbidden": "A filter could not check this", "broken": "A filter could not check this"} {
		if resp, body := g.call("far", alice, "echo", `{"message":"`+message+`"}`); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s; want %s", message, resp.StatusCode, body, want)
		}
	}
	g.eventually("the audit of the filter holds what its own filter said", 5*time.Second, func() bool {
		return slices.Contains(g.reviews("relay"), "far-shim check checker filter ok")
	})
}

// What a filter's failure means is the filter's onError, also where no token can be had, and it ends with the failure.
func TestServerFilterFails(t *testing.T) {
	g := chained(t)
	lenient, guarded := g.token("alice", "lenient", engineering), g.token("alice", "guarded", engineering)
	passes := func(server, token, message string, want string) {
		t.Helper()
		if resp, body := g.call(server, token, "echo", `{"message":"`+message+`"}`); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s, %s: %d %s", server, message, resp.StatusCode, body)
		}
	}
	if err := g.oauth.Stop(); err != nil {
		t.Fatal(err)
	}
	passes("lenient", lenient, "forbidden", `"text":"forbidden"`)
	passes("guarded", guarded, "plain", `A filter could not check this`)
	g.startOAuth()
	g.eventually("it is checked again", 20*time.Second, func() bool {
		_, body := g.call("lenient", lenient, "echo", `{"message":"forbidden"}`)
		return strings.Contains(body, "Refused by a filter")
	})
	passes("lenient", lenient, "slow", `"text":"slow"`)
	passes("guarded", guarded, "forbidden", "Refused by a filter")
	reviews := strings.Join(g.reviews("lenient"), "\n")
	for _, want := range []string{"alice try checker filter error", "get a token for the filter's server: reach the token endpoint", "no answer in time"} {
		if !strings.Contains(reviews, want) {
			t.Errorf("the record has no %q: %s", want, reviews)
		}
	}
}

// What a shim can have by its credential opens the servers that filter for it, and nothing else; no caller can say that filters
// are asked already.
func TestServerFilterTokens(t *testing.T) {
	g := chained(t)
	getAt := func(client, server, depth string) given {
		return g.post("http://"+g.address+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {filterSecret}, "resource": {g.resource(server)},
			rules.FilterDepth: {depth}})
	}
	get := func(client, server string) given { return getAt(client, server, "") }
	own := get("guarded-shim", "checker")
	if resp, body := g.call("checker", own.Access, "filter", `{"message":{}}`); own.Status != 200 || resp.StatusCode != 200 {
		t.Fatalf("%+v: %d %s", own, resp.StatusCode, body)
	}
	for client, server := range map[string]string{"guarded-shim": "relay", "relay-shim": "guarded", "far-shim": "checker"} {
		if got := get(client, server); got.Status != 400 || got.Error != "invalid_target" {
			t.Errorf("%s for %s: %+v", client, server, got)
		}
	}
	for _, server := range []string{"guarded", "relay", "sample"} {
		if resp, body := g.call(server, own.Access, "filter", `{"message":{}}`); resp.StatusCode != 401 {
			t.Errorf("%s with the token for checker: %d %s", server, resp.StatusCode, body)
		}
	}
	if resp, body := g.call("checker", own.Access, "other", `{}`); resp.StatusCode != 403 && !strings.Contains(body, "error") {
		t.Errorf("another tool: %d %s", resp.StatusCode, body)
	}
	// What a cycle would come to, were there one: the last filter's own cannot be asked any more.
	for depth, want := range map[string]string{"3": `"accept":true`, "4": "A filter could not check this"} {
		token := getAt("far-shim", "relay", depth)
		if resp, body := g.call("relay", token.Access, "filter", `{"message":{}}`); token.Status != 200 || resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("at depth %s: %+v, %d %s", depth, token, resp.StatusCode, body)
		}
	}
	g.eventually("the audit says why", 5*time.Second, func() bool {
		return strings.Contains(strings.Join(g.reviews("relay"), "\n"), "more than 4 filters would be asked at the same time")
	})
	forged := g.main.Token(t, "alice", g.resource("lenient"), []string{engineering}, identitytest.Claims{rules.FilterDepth: rules.MaxFilterDepth})
	if _, body := g.call("lenient", forged, "echo", `{"message":"forbidden"}`); !strings.Contains(body, "Refused by a filter") {
		g.eventually("the filter is awake", 10*time.Second, func() bool {
			_, body = g.call("lenient", forged, "echo", `{"message":"forbidden"}`)
			return strings.Contains(body, "Refused by a filter")
		})
	}
}
