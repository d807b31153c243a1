package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodOAuth = `apiVersion: v1
publicURL: https://mcp.example.com
issuers:
  - {url: "https://login.example.com/", audiences: ["{resource}"], default: true}
  - {name: signin, url: "https://oauth.example.com", audiences: ["{resource}"], brokers: ["https://login.example.com/"]}
oauth:
  url: https://oauth.example.com
  provider: {url: "https://login.example.com/", clientID: gateway, secret: keys/login}
  clients:
    - {id: copilot, redirects: ["https://copilot.example/cb"]}
    - {id: robot, name: Night run, keys: keys/robot.json}
`

func TestOAuth(t *testing.T) {
	dir := writeFiles(t, map[string]string{"p.yaml": goodOAuth})
	p, err := LoadPlatform(dir + "/p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &OAuth{URL: "https://oauth.example.com", State: dir + "/.run/oauth", Key: dir + "/.run/oauth/seal.key",
		Provider: OAuthProvider{URL: "https://login.example.com/", ClientID: "gateway", Secret: dir + "/keys/login", Scopes: []string{"openid", "profile", "offline_access"}},
		Clients: []OAuthClient{{ID: "copilot", Name: "copilot", Redirects: []string{"https://copilot.example/cb"}},
			{ID: "robot", Name: "Night run", Keys: dir + "/keys/robot.json"}}}
	if diff := cmp.Diff(want, p.OAuth); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{dir + "/.run/oauth/seal.key", dir + "/keys/login", dir + "/keys/robot.json"}, p.OAuth.Files()); diff != "" {
		t.Error(diff)
	}
}

func TestOAuthChecks(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string // what is changed in goodOAuth
		want     []string
	}{
		{"good", "", "", nil},
		{"brokers nobody", `, brokers: ["https://login.example.com/"]`, "", []string{"7: oauth.url must be the url of one of issuers, with"}},
		{"brokers a stranger", `brokers: ["https://login.example.com/"]`, `brokers: ["https://x.test"]`,
			[]string{`5: issuers.brokers: "https://x.test" must be the url of another`, "7: oauth.url must be"}},
		{"brokers itself", `brokers: ["https://login.example.com/"]`, `brokers: ["https://oauth.example.com"]`,
			[]string{`5: issuers.brokers: "https://oauth.example.com" must be`, "7: oauth.url must be"}},
		{"no brokers", `brokers: ["https://login.example.com/"]`, `brokers: []`, []string{"5: issuers.brokers is an empty list", "7: oauth.url must be"}},
		{"a path", "url: https://oauth.example.com", "url: https://oauth.example.com/x", []string{"7: oauth.url must be scheme", "7: oauth.url must be the url"}},
		{"in the clear", "url: https://oauth.example.com", "url: http://oauth.example.com", []string{"7: oauth.url must begin with https://", "7: oauth.url must be the url"}},
		{"another provider", `{url: "https://login.example.com/", clientID`, `{url: "https://x.test", clientID`, []string{"7: oauth.url must be", "8: oauth.provider.url must be"}},
		{"no client id", ", clientID: gateway", "", []string{"8: oauth.provider.clientID is missing"}},
		{"scopes", "clientID:", `scopes: [profile, "a b"], clientID:`, []string{"8: oauth.provider.scopes: openid must be", `8: oauth.provider.scopes: "a b" is no scope`}},
		{"table", "  clients:", "  table: mcp-oauth.1_a\n  clients:", nil},
		{"no table", "  clients:", "  table: 'a b'\n  clients:", []string{`9: oauth.table: "a b" is no name of a DynamoDB table`}},
		{"twins", "id: robot", "id: copilot", []string{"11: oauth.clients: this id is given twice"}},
		{"client id", "id: robot", "id: 'https://login.example.com/#a'", []string{"11: oauth.clients.id must be"}},
		{"the gateway's id", "id: robot", "id: mcpgateway", []string{"11: oauth.clients.id: mcpgateway is the gateway"}},
		{"two credentials", "keys: keys", "secret: x, keys: keys", []string{"11: oauth.clients: secret, keys or keysURL, one of them"}},
		{"keys elsewhere", "keys: keys/robot.json", "keysURL: 'https://robot.example/keys.json'", nil},
		{"keys here and elsewhere", "keys: keys", "keysURL: 'https://robot.example/keys.json', keys: keys", []string{"11: oauth.clients: secret, keys or keysURL, one of them"}},
		{"keys in the clear", "keys: keys/robot.json", "keysURL: 'http://127.0.0.1/keys.json'", []string{"11: oauth.clients.keysURL must begin with https://"}},
		{"no credential", ", keys: keys/robot.json", "", []string{"11: oauth.clients: an agent needs"}},
		{"exchange", "keys: keys/robot.json", "keys: x, exchange: {server: notes, audiences: ['https://notes.internal', 'urn:a']}", nil},
		{"shared", "keys: keys/robot.json", "keys: x, redirects: ['https://x.test/cb'], exchange: {shared: ['api://mcp']}", nil},
		{"shim", "keys: keys/robot.json", "keys: x, shim: notes, exchange: {server: notes, audiences: [a]}", nil},
		{"shim of another server", "keys: keys/robot.json", "keys: x, shim: notes, exchange: {server: other, audiences: [a]}", []string{"11: oauth.clients.shim: a shim acts for itself"}},
		{"shim that signs in", "keys: keys/robot.json", "keys: x, shim: notes, redirects: ['https://x.test/cb']", []string{"11: oauth.clients.shim: a shim acts for itself"}},
		{"shim that brings assertions", "keys: keys/robot.json", "keys: x, shim: notes, assertions: true", []string{"11: oauth.clients.shim: a shim acts for itself"}},
		{"shim of no server", "keys: keys/robot.json", "keys: x, shim: NOTES", []string{"11: oauth.clients.shim"}},
		{"shim twice", "keys: keys/robot.json}", "keys: x, shim: notes}\n    - {id: other, keys: x, shim: notes}", []string{"12: oauth.clients.shim: another client is the shim of notes already"}},
		{"exchange of two kinds", "keys: keys/robot.json", "keys: x, exchange: {server: notes, audiences: [a], shared: [b]}",
			[]string{"11: oauth.clients.exchange needs exactly one of server and shared"}},
		{"exchange of none", "keys: keys/robot.json", "keys: x, exchange: {audiences: [a]}",
			[]string{"11: oauth.clients.exchange needs exactly one of server and shared", "11: oauth.clients.exchange.audiences is for exchange.server"}},
		{"exchange for nothing", "keys: keys/robot.json", "keys: x, exchange: {server: notes}", []string{"11: oauth.clients.exchange.audiences is missing"}},
		{"exchange without a credential", `["https://copilot.example/cb"]`, `["https://copilot.example/cb"], exchange: {shared: [a]}`,
			[]string{"10: oauth.clients: who exchanges tokens needs"}},
		{"account", "keys: keys/robot.json", "keys: x, exchange: {server: notes, account: {resource: 'https://notes.test/mcp', issuer: 'https://id.test', scopes: [read], client: {id: a, secret: s, auth: client_secret_post}}}", nil},
		{"account inside", "keys: keys/robot.json", "keys: x, exchange: {server: notes, account: {resource: 'http://10.1.2.3:80/mcp', egress: [{cidr: 10.0.0.0/8, ports: [80]}]}}", nil},
		{"account inside by chance", "keys: keys/robot.json", "keys: x, exchange: {server: notes, account: {resource: 'https://10.1.2.3/mcp', issuer: 'http://id.test'}}",
			[]string{"11: oauth.clients.exchange.account.resource: 10.1.2.3:443 is ", "11: oauth.clients.exchange.account.issuer: http:// is plain text"}},
		{"account at this gateway", "keys: keys/robot.json", "keys: x, exchange: {server: notes, account: {resource: 'https://mcp.example.com/mcp-connect/other'}}",
			[]string{`11: oauth.clients.exchange.account.resource: "https://mcp.example.com/mcp-connect/other" is at this gateway`}},
		{"account and audiences", "keys: keys/robot.json", "keys: x, exchange: {server: notes, audiences: [a], account: {resource: 'https://notes.test/mcp'}}",
			[]string{"11: oauth.clients.exchange.audiences or account, not both"}},
		{"account of none", "keys: keys/robot.json", "keys: x, exchange: {shared: [a], account: {resource: 'https://notes.test/mcp'}}",
			[]string{"11: oauth.clients.exchange.account is for exchange.server"}},
		{"account that is empty", "keys: keys/robot.json", "keys: x, exchange: {server: notes, account: {scopes: ['a b'], client: {auth: none}}}",
			[]string{"11: oauth.clients.exchange.account.resource is missing", `11: oauth.clients.exchange.account.scopes: "a b" is no scope`,
				"11: oauth.clients.exchange.account.client.id is missing", "11: oauth.clients.exchange.account.client.auth must be"}},
		{"two accounts", "keys: keys/robot.json}", "keys: x, exchange: {server: notes, account: {resource: 'https://notes.test/mcp'}}}\n    - {id: two, keys: x, exchange: {server: notes, account: {resource: 'https://notes.test/mcp'}}}",
			[]string{"12: oauth.clients.exchange.account: notes has one already"}},
		{"KMS", "  clients:", "  kmsKey: 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab'\n  clients:", nil},
		{"an alias in KMS", "  clients:", "  kmsKey: 'alias/mcp'\n  clients:", []string{`9: oauth.kmsKey: "alias/mcp" is no ARN`}},
		{"assertions", "keys: keys/robot.json", "keys: x, assertions: true", nil},
		{"assertions without a credential", `["https://copilot.example/cb"]`, `["https://copilot.example/cb"], assertions: true`,
			[]string{"10: oauth.clients: who brings assertions needs"}},
		{"exchange by who signs in", "keys: keys/robot.json", "keys: x, redirects: ['https://x.test/cb'], exchange: {server: notes, audiences: [a]}",
			[]string{"11: oauth.clients.exchange.server is for a shim"}},
		{"exchange for another server", "keys: keys/robot.json", "keys: x, exchange: {server: NOTES, audiences: ['https://MCP.example.com/mcp-connect/other', '']}",
			[]string{`11: oauth.clients.exchange.server "NOTES" is no DNS label`, `11: oauth.clients.exchange.audiences: "https://MCP.example.com/mcp-connect/other" is at this gateway`,
				"11: oauth.clients.exchange.audiences: an audience is empty"}},
		{"exchange of a server's", "keys: keys/robot.json", "keys: x, exchange: {shared: ['https://mcp.example.com/mcp-connect/a']}",
			[]string{`11: oauth.clients.exchange.shared: "https://mcp.example.com/mcp-connect/a" is at this gateway`}},
		{"exchange for a server at its alias", "keys: keys/robot.json}", "keys: x, exchange: {server: notes, audiences: ['https://other.s.example/mcp']}}\ndomain: s.example",
			[]string{`11: oauth.clients.exchange.audiences: "https://other.s.example/mcp" is at this gateway`}},
		{"at a server's host", "keys: keys/robot.json}", "keys: x}\ndomain: example.com", []string{
			`2: publicURL: "https://mcp.example.com" is what a server of that name is at`, `7: oauth.url: "https://oauth.example.com" is what a server of that name is at`}},
		{"redirects", `["https://copilot.example/cb"]`, `["https://copilot.example/cb#", "/cb"]`,
			[]string{"10: oauth.clients.redirects must be absolute", "10: oauth.clients.redirects must be absolute"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(strings.Replace(goodOAuth, tt.old, tt.new, 1))
			d := newDocument("/etc/p.yaml", text)
			parsePlatform(d)
			agree(t, compiledPlatform(), text, len(d.problems) > 0)
			checkLines(t, lines(collect(d)), tt.want...)
		})
	}
}
