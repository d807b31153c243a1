package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/identity/identitytest"
)

// A catalog with conditions and scopes, through gateway, deployer and shim.
func TestConditions(t *testing.T) {
	s := startWith(t, "", `  - {name: no-secrets, deny: {anyone: true}, servers: [other], tools: [echo], when: 'args.message == "secret"'}
  - {name: small, allow: {groups: [sales]}, servers: [other], tools: [add], when: 'args.a + args.b < 100'}
  - {name: scoped, allow: {groups: [sales]}, servers: [other], tools: [echo], scopes: [talk, shout]}
`)
	alice, bob := s.token("alice", "other", engineering), s.token("bob", "other", "sales")
	for _, c := range []struct{ name, token, tool, args, says string }{
		{"harmless", alice, "echo", `{"message":"hello"}`, "hello"},
		{"denied by its argument", alice, "echo", `{"message":"secret"}`, "-32001"},
		{"denied by its argument, escaped", alice, "echo", `{"message":"s\u0065cret"}`, "-32001"},
		{"denied since it cannot be decided", alice, "echo", `{}`, "-32001"},
		{"denied in another spelling", alice, "echo", `{"Message":"secret"}`, "-32001"},
		{"allowed by its arguments", bob, "add", `{"a":1,"b":2}`, "3"},
		{"not allowed by its arguments", bob, "add", `{"a":99,"b":2}`, "-32001"},
		{"not allowed since it cannot be decided", bob, "add", `{"a":"1","b":2}`, "-32001"},
	} {
		resp, body := s.call("other", c.token, c.tool, c.args)
		if resp.StatusCode != 200 || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s, want %s", c.name, resp.StatusCode, body, c.says)
		}
		if strings.Contains(body, "no-secrets") || strings.Contains(body, "small") {
			t.Errorf("%s: %s names a policy", c.name, body)
		}
	}
	resp, body := s.call("other", bob, "echo", `{"message":"hello"}`)
	want := `Bearer error="insufficient_scope", scope="talk shout", resource_metadata="` + s.url + `/.well-known/oauth-protected-resource/mcp-connect/other"`
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 403 || !strings.HasPrefix(got, want) {
		t.Errorf("without scopes: %d %q %s", resp.StatusCode, got, body)
	}
	more := s.main.Token(t, "bob", s.resource("other"), []string{"sales"}, identitytest.Claims{"scope": "shout openid talk"})
	if resp, body := s.call("other", more, "echo", `{"message":"hello"}`); resp.StatusCode != 200 || !strings.Contains(body, "hello") {
		t.Errorf("with scopes: %d %s", resp.StatusCode, body)
	}
	for token, want := range map[string]string{alice: "add echo", bob: "add echo"} {
		_, body := s.do(s.request("POST", "other", token, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+modernMeta+`}}`,
			"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"))
		for _, tool := range strings.Fields(want) {
			if !strings.Contains(body, `"name":"`+tool+`"`) {
				t.Errorf("%s is not listed: %s", tool, body)
			}
		}
	}
	s.changeConditions(alice)
}

// changeConditions puts other rules in force, and one that does not compile, which changes nothing.
func (s *system) changeConditions(alice string) {
	s.t.Helper()
	catalog := s.read("catalog.yaml")
	s.write("catalog.yaml", strings.Replace(catalog, `args.message == "secret"`, `args.mesage = "secret"`, 1))
	s.eventually("the mistake is reported", 20*time.Second, func() bool {
		return strings.Contains(s.read("deployer.log"), "policies.when: line 1")
	})
	if _, body := s.call("other", alice, "echo", `{"message":"secret"}`); !strings.Contains(body, "-32001") {
		s.t.Errorf("with a mistake in the file: %s", body)
	}
	s.write("catalog.yaml", strings.Replace(catalog, `args.message == "secret"`, `args.message == "hello"`, 1))
	s.eventually("the new condition is in force", 20*time.Second, func() bool {
		_, denied := s.call("other", alice, "echo", `{"message":"hello"}`)
		_, allowed := s.call("other", alice, "echo", `{"message":"secret"}`)
		return strings.Contains(denied, "-32001") && strings.Contains(allowed, `"secret"`)
	})
}

func (s *system) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
