package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/policy"
	"mcpgateway/shim/ruleset"
)

// governed are policies for two groups: what each may call depends on arguments, scopes and the time.
func governed(r *rig, t *testing.T) {
	groups := func(g ...string) *policy.Subjects { return &policy.Subjects{Groups: g} }
	servers := []string{"github"}
	r.reload(t,
		policy.Policy{Name: "engineers", Allow: groups("engineering"), Servers: servers, When: `now > timestamp("2020-01-01T00:00:00Z")`},
		policy.Policy{Name: "sales-small", Allow: groups("sales"), Servers: servers, Tools: []string{"create"}, When: `args.amount <= 100`},
		policy.Policy{Name: "sales-read", Allow: groups("sales"), Servers: servers, When: `mcp.tool.startsWith("get_") && user.client == "test"`},
		policy.Policy{Name: "sales-never", Allow: groups("sales"), Servers: servers, When: `mcp.tool == "merge" && user.subject == "nobody"`},
		policy.Policy{Name: "scoped", Allow: groups("sales"), Servers: servers, Tools: []string{"delete"}, Scopes: []string{"write", "admin"}},
		policy.Policy{Name: "no-main", Deny: &policy.Subjects{Anyone: true}, Servers: servers, When: `mcp.tool == "merge" && args.base == "main"`},
		policy.Policy{Name: "no-late", Deny: groups("sales"), Servers: servers, Tools: []string{"late"}, When: `now > timestamp("2020-01-01T00:00:00Z")`})
}

// Two users of different groups see different lists and get different answers, in both eras, as JSON and as a stream.
func TestTwoUsers(t *testing.T) {
	const tools = `[{"name":"get_a"},{"name":"merge"},{"name":"create"},{"name":"delete"},{"name":"late"}]`
	const page = `,"nextCursor":"next","ttlMs":5`
	list := `{"jsonrpc":"2.0","id":1,"result":{"tools":` + tools + page + `,"cacheScope":"public"}}`
	const result = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	for _, stream := range []bool{false, true} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			answer := result
			if strings.Contains(string(body), "tools/list") {
				answer = list
			}
			if !stream {
				answerJSON(answer)(w, req)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: "+answer+"\n\n")
		})
		governed(r, t)
		for _, era := range []string{"legacy", "modern"} {
			ask := func(token, method, params string) string {
				_, body := r.do(t, r.request(t, "POST", token, message(method, params), eraHeaders(era, method, params)...))
				return strings.TrimSuffix(strings.TrimPrefix(body, "data: "), "\n\n")
			}
			for token, want := range map[string]string{
				r.engineer(t): tools,
				r.seller(t):   `[{"name":"get_a"},{"name":"create"},{"name":"delete"}]`,
			} {
				if got := ask(token, "tools/list", `{}`); got != `{"jsonrpc":"2.0","id":1,"result":{"tools":`+want+page+`,"cacheScope":"private"}}` {
					t.Errorf("%s, stream %v: listed %s", era, stream, got)
				}
			}
			for _, c := range []struct {
				token, params string
				allowed       bool
			}{
				{r.engineer(t), `{"name":"merge","arguments":{"base":"dev"}}`, true},
				{r.engineer(t), `{"name":"merge","arguments":{"base":"main"}}`, false},
				{r.engineer(t), `{"name":"merge","arguments":{"base":"m\u0061in"}}`, false},
				{r.engineer(t), `{"name":"merge"}`, false},
				{r.engineer(t), `{"name":"create","arguments":{"amount":1000}}`, true},
				{r.seller(t), `{"name":"create","arguments":{"amount":100}}`, true},
				{r.seller(t), `{"name":"create","arguments":{"amount":100.5}}`, false},
				{r.seller(t), `{"name":"create","arguments":{"amount":"1"}}`, false},
				{r.seller(t), `{"name":"create","arguments":{"Amount":1}}`, false},
				{r.seller(t), `{"name":"create","arguments":{"amount":1,"AMOUNT":1000}}`, false},
				{r.seller(t), `{"name":"create","arguments":[1]}`, false},
				{r.seller(t), `{"name":"get_a"}`, true},
				{r.seller(t), `{"name":"merge","arguments":{"base":"dev"}}`, false},
				{r.seller(t), `{"name":"late"}`, false},
			} {
				want := result
				if !c.allowed {
					want = `{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Not allowed: no policy lets you use this; ask whoever runs this gateway"}}`
				}
				if got := ask(c.token, "tools/call", c.params); got != want {
					t.Errorf("%s, stream %v, %s: %s, want %s", era, stream, c.params, got, want)
				}
			}
		}
	}
}

// A page of which nothing is left keeps its cursor: more may follow.
func TestEmptyPage(t *testing.T) {
	r := newRig(t, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"merge"}],"nextCursor":"2"}}`))
	if _, body := r.post(t, r.engineer(t), message("tools/list", `{}`)); body != `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"2"}}` {
		t.Errorf("got %s", body)
	}
}

// What a condition failed on, and which policy decided, is for the log and the record.
func TestConditionThatCannotBeDecided(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	governed(r, t)
	_, body := r.post(t, r.engineer(t), message("tools/call", `{"name":"merge","arguments":{"secret":"hunter2"}}`), "X-Request-Id", "req-1")
	if !strings.Contains(body, "-32001") || strings.Contains(body, "no-main") || strings.Contains(body, "not there") {
		t.Errorf("the caller is told %s", body)
	}
	log := r.log.String()
	if !strings.Contains(log, "policy no-main: when: the condition reads an argument that is not there") || !strings.Contains(log, "req-1") || strings.Contains(log, "hunter2") {
		t.Errorf("logged: %s", log)
	}
	if records := r.records.all(); len(records) != 1 || records[0].Policy != "no-main" {
		t.Errorf("recorded: %+v", records)
	}
}

func TestStepUp(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	governed(r, t)
	claims := func(scope any, name string) string {
		return r.issuer.Token(t, "bob", resource, []string{"sales"}, identitytest.Claims{name: scope})
	}
	const challenge = `Bearer error="insufficient_scope", scope="write admin", ` +
		`resource_metadata="https://gateway.test/.well-known/oauth-protected-resource/mcp-connect/github"`
	for _, c := range []struct {
		name, token string
		status      int
	}{
		{"none", r.seller(t), 403}, {"one", claims("openid write", "scope"), 403},
		{"both", claims("admin write", "scope"), 200}, {"both in a list", claims([]string{"admin", "write"}, "scp"), 200},
		{"another spelling", claims("Admin write", "scope"), 403},
	} {
		resp, body := r.post(t, c.token, message("tools/call", `{"name":"delete"}`))
		header := resp.Header.Get("WWW-Authenticate")
		if resp.StatusCode != c.status || (c.status == 403) != strings.HasPrefix(header, challenge) || c.status == 200 && header != "" {
			t.Errorf("%s: %d %q %s", c.name, resp.StatusCode, header, body)
		}
		if c.status == 403 && (!strings.Contains(body, `"id":1`) || strings.Contains(body, "scoped")) {
			t.Errorf("%s: %s", c.name, body)
		}
	}
	// Where something forbids it, scopes would not help.
	if resp, _ := r.post(t, r.seller(t), message("tools/call", `{"name":"late"}`)); resp.StatusCode != 200 {
		t.Errorf("denied: %d", resp.StatusCode)
	}
}

// Rules with a condition that was not compiled, or is damaged, are refused, and the old ones stay.
func TestRulesWithoutPrograms(t *testing.T) {
	r := newRig(t, answerJSON(`{}`))
	for name, program := range map[string][]byte{"none": nil, "noise": []byte("noise")} {
		r.rules.Policies = []policy.Policy{{Name: "p", Allow: &policy.Subjects{Anyone: true}, Servers: []string{"github"}, When: "true", Program: program}}
		r.rules.Version++
		r.writeRules(t)
		if _, err := ruleset.NewHolder(r.holder); err == nil || !strings.Contains(err.Error(), `policy "p": when: `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
