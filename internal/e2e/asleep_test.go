package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

// keeping is a system whose servers leave what they say of themselves with the audit function.
type keeping struct{ *system }

// keptEntry is a server with discovery: cached that takes a moment to start, so that an answer that comes sooner is not its own.
func keptEntry(id, more string) string {
	return fmt.Sprintf("  - {id: %s, discovery: cached, runtime: {command: {exec: sh, args: [-c, 'sleep 1; exec %s %s -addr 127.0.0.1:$PORT'], http: {}}}, scale: {idle: %s}}\n",
		id, filepath.Join(programs, "sample-server"), more, idle)
}

func startKeeping(t *testing.T, servers, policies string) *keeping {
	t.Helper()
	program := filepath.Join(t.TempDir(), "audit") // elsewhere: what counts processes leaves it out
	if out, err := exec.Command("go", "build", "-o", program, "mcpgateway/functions/audit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	k := &keeping{startAs(t, layout{servers: servers, policies: policies, platform: "audit: {url: \"unix:audit-in/audit.sock\", store: {auditors: [security]}}\n"})}
	p, err := proxytest.StartProcess(proxytest.Command{Path: program, Log: filepath.Join(k.dir, "audit.log"),
		Env: []string{"PLATFORM=" + filepath.Join(k.dir, "platform.yaml"), "LISTEN=" + address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	if err := p.Await(context.Background(), "tcp", address); err != nil {
		t.Fatal(err)
	}
	return k
}

// asleep returns when nothing runs any more, and the server has left its lists.
func (k *keeping) asleep(server string) {
	k.t.Helper()
	k.eventually("nothing runs", 20*time.Second, func() bool { return len(k.processes("")) == 0 })
	k.eventually("lists are kept", 5*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(k.dir, ".run", "audit", "lists", server))
		return err == nil
	})
}

// legacy sends a legacy request, in a session where there is one.
func (k *keeping) legacy(server, token, session, method string) (*http.Response, string) {
	k.t.Helper()
	return k.do(k.request("POST", server, token, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":{}}`, "Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25"))
}

// tools are the names in a list.
func tools(t *testing.T, body string) (names []string) {
	t.Helper()
	var m struct {
		ID     int
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.ID != 7 {
		t.Errorf("%v: %s", err, body)
	}
	for _, tool := range m.Result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// answered are the records of what the gateway answered for servers that slept.
func (k *keeping) answered() (all []audit.Record) {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, "gateway.log"))
	if err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if json.Unmarshal([]byte(line), &r) == nil && r.Outcome == audit.Answered {
			all = append(all, r)
		}
	}
	return all
}

const keptPolicies = `  - {name: notes, allow: {groups: [engineering]}, servers: [notes]}
  - {name: notes-sales, allow: {groups: [sales]}, servers: [notes], tools: [echo]}
`

// A client of a server that sleeps begins a session and sees the tools that it may use before anything runs, and goes on in
// that session with the server once that is awake.
func TestListsOfASleepingServer(t *testing.T) {
	k := startKeeping(t, keptEntry("notes", ""), keptPolicies)
	alice, bob := k.token("alice", "notes", engineering), k.token("bob", "notes", "sales")
	if resp, body := k.call("notes", alice, "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	k.asleep("notes")

	resp, body := k.do(k.request("POST", "notes", alice, initialize))
	session := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != 200 || !strings.HasPrefix(session, "g1.") || !strings.Contains(body, `"sample-server"`) {
		t.Fatalf("%d %q %s", resp.StatusCode, session, body)
	}
	resp, body = k.legacy("notes", alice, session, "tools/list")
	all := tools(t, body)
	if n := len(k.processes("sample-server")); n != 0 {
		t.Errorf("%d servers were awake", n)
	}
	if resp.StatusCode != 200 || !slices.Contains(all, "echo") || !slices.Contains(all, "headers") || slices.Contains(all, "notify") {
		t.Errorf("%d %v", resp.StatusCode, all)
	}
	if len(k.answered()) != 2 {
		t.Errorf("%+v", k.answered())
	}
	if resp, body := k.legacy("notes", bob, session, "tools/list"); resp.StatusCode != 404 {
		t.Errorf("another's session: %d %s", resp.StatusCode, body)
	}
	if resp, body := k.do(k.request("POST", "notes", alice, `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"echo","arguments":{"message":"in the same session"}}}`,
		"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25")); resp.StatusCode != 200 || !strings.Contains(body, "in the same session") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := k.legacy("notes", bob, session, "tools/list"); resp.StatusCode != 404 {
		t.Errorf("another's session, awake: %d %s", resp.StatusCode, body)
	}
	resp, body = k.legacy("notes", alice, session, "tools/list")
	if live := tools(t, body); resp.StatusCode != 200 || !slices.Equal(live, all) {
		t.Errorf("%d %v, and %v before", resp.StatusCode, live, all)
	}
	k.asleep("notes")
	resp, body = k.legacy("notes", alice, session, "tools/list") // after another sleep
	if again := tools(t, body); resp.StatusCode != 200 || !slices.Equal(again, all) || len(k.answered()) != 3 {
		t.Errorf("%d %v", resp.StatusCode, again)
	}
}

// A deny is in force for what was left before it, and nobody is shown what somebody else put there.
func TestListsOfASleepingServerAreGoverned(t *testing.T) {
	policies := keptPolicies + "  - {name: other, allow: {groups: [engineering]}, servers: [second]}\n"
	k := startKeeping(t, keptEntry("notes", "")+keptEntry("second", ""), policies)
	alice := k.token("alice", "notes", engineering)
	for _, server := range []string{"notes", "second"} {
		if resp, body := k.call(server, k.token("alice", server, engineering), "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	k.asleep("notes")
	k.asleep("second")
	before := k.starts()
	resp, _ := k.do(k.request("POST", "notes", alice, initialize))
	session := resp.Header.Get("Mcp-Session-Id")
	if len(k.answered()) != 1 {
		t.Fatalf("%+v", k.answered())
	}
	k.eventually("it is woken meanwhile", 10*time.Second, func() bool { return k.starts() > before }) // and leaves its lists again
	live := func(what string) {
		t.Helper()
		k.asleep("notes")
		before := len(k.answered())
		resp, body := k.legacy("notes", alice, session, "tools/list")
		if names := tools(t, body); resp.StatusCode != 200 || !slices.Contains(names, "echo") || slices.Contains(names, "notify") {
			t.Errorf("%s: %d %v", what, resp.StatusCode, names)
		}
		if len(k.answered()) != before {
			t.Errorf("%s: answered by what was left", what)
		}
	}
	folder := filepath.Join(k.dir, ".run", "audit", "lists")
	put := func(text []byte) {
		t.Helper()
		k.asleep("notes")
		k.kill(k.gateway) // one that has read nothing yet
		k.startGateway()
		if err := os.WriteFile(filepath.Join(folder, "notes"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(filepath.Join(folder, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(folder, "second"))
	if err != nil {
		t.Fatal(err)
	}
	put(append(slices.Clone(good[:32]), other[32:]...))
	live("another server's")
	changed := slices.Clone(good)
	changed[len(changed)-1] ^= 1
	put(changed)
	live("changed where it is kept")

	k.asleep("notes")
	denied := layout{servers: keptEntry("notes", "") + keptEntry("second", ""),
		policies: policies + "  - {name: no-headers, deny: {anyone: true}, servers: [notes], tools: [headers]}\n"}
	k.write("catalog.yaml", denied.catalog())
	k.eventually("the deny is in force", 10*time.Second, func() bool {
		k.asleep("notes")
		_, body := k.legacy("notes", alice, session, "tools/list")
		return !slices.Contains(tools(t, body), "headers")
	})
	known := len(k.answered())
	k.eventually("the shim knows of it, too, and left lists by it", 30*time.Second, func() bool {
		k.asleep("notes")
		_, body := k.legacy("notes", alice, session, "tools/list")
		if names := tools(t, body); slices.Contains(names, "headers") || !slices.Contains(names, "echo") {
			t.Errorf("%v", names)
		}
		return len(k.answered()) > known
	})
}

// clientScript is a program that connects, lists and calls, with a library that nobody here wrote.
const clientScript = `
import { Client as V1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as T1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Client as V2, StreamableHTTPClientTransport as T2 } from "@modelcontextprotocol/client";
const [library, url, token] = process.argv.slice(2);
const requestInit = { headers: { Authorization: "Bearer " + token } };
const client = library === "v1" ? new V1({ name: "v1", version: "1" }) : new V2({ name: "v2", version: "1" }, { versionNegotiation: { mode: "auto" } });
await client.connect(new (library === "v1" ? T1 : T2)(new URL(url), { requestInit }));
const { tools } = await client.listTools();
const call = { name: "echo", arguments: { message: "said by " + library } };
const { content } = await (library === "v1" ? client.callTool(call, undefined) : client.callTool(call));
console.log(tools.map((t) => t.name).join(" "), content[0].text);
await client.close();
`

// Clients of libraries that nobody here wrote connect to a server that sleeps, list its tools, which it does not wake for, and
// call one. Where a modern server does not say that its lists are everybody's it is asked itself.
func TestClientsOfASleepingServer(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs the network")
	}
	node, script := installPeer(t, "asleep.mjs", []byte(clientScript), peers.SDK, peers.Client)
	policies := "  - {name: kept, allow: {groups: [engineering]}, servers: [fresh, silent]}\n"
	k := startKeeping(t, keptEntry("fresh", "-fresh 1h")+keptEntry("silent", ""), policies)
	for _, server := range []string{"fresh", "silent"} {
		if resp, body := k.call(server, k.token("alice", server, engineering), "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	programs := map[string]func(server, token string) (string, error){
		"mcp-go": func(server, token string) (string, error) { return mcpGo(t, k.resource(server), token) },
	}
	for _, library := range []string{"v1", "v2"} {
		programs[library] = func(server, token string) (string, error) {
			out, err := exec.Command(node, script, library, k.resource(server), token).CombinedOutput()
			return string(out), err
		}
	}
	for name, c := range map[string]struct{ fresh, silent []string }{
		"v1":     {[]string{"initialize", "tools/list"}, []string{"initialize", "tools/list"}},
		"v2":     {[]string{"server/discover", "tools/list"}, nil},
		"mcp-go": {[]string{"server/discover", "tools/list"}, nil},
	} {
		for server, want := range map[string][]string{"fresh": c.fresh, "silent": c.silent} {
			k.asleep(server)
			before := len(k.answered())
			out, err := programs[name](server, k.token("alice", server, engineering))
			if err != nil || !strings.Contains(out, "said by") || !strings.Contains(out, "headers") || strings.Contains(out, "notify") {
				t.Errorf("%s, %s: %v\n%s", name, server, err, out)
			}
			var got []string
			for _, r := range k.answered()[before:] {
				got = append(got, r.CallType)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: answered %v, want %v", name, server, got, want)
			}
		}
	}
}

// mcpGo is the same with the client of mcp-go.
func mcpGo(t *testing.T, url, token string) (string, error) {
	t.Helper()
	c, err := mcpclient.NewStreamableHttpClient(url, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + token}))
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // the test ends
	hello := mcp.InitializeRequest{}
	hello.Params.ClientInfo, hello.Params.ProtocolVersion = mcp.Implementation{Name: "mcp-go", Version: "1"}, mcp.LATEST_PROTOCOL_VERSION
	if err := c.Start(t.Context()); err != nil {
		return "", err
	}
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		return "", err
	}
	list, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		return "", err
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	call := mcp.CallToolRequest{}
	call.Params.Name, call.Params.Arguments = "echo", map[string]any{"message": "said by mcp-go"}
	got, err := c.CallTool(t.Context(), call)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(names, got.Content), nil
}
