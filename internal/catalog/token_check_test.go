package catalog

import (
	"strings"
	"testing"
)

// Each case is a server's fields, one line each from line 4 on, and the problems they make.
func TestTokenChecks(t *testing.T) {
	const (
		http   = "runtime: {command: {exec: x, http: {}}}"
		remote = "runtime: {remote: {url: 'https://api.test:8443/mcp'}}"
		good   = "url: 'https://x.test/t', client: {id: c, secret: {key: k}}"
	)
	exchange := func(fields string) string { return http + "\ntoken: {exchange: {" + fields + "}}" }
	for _, tt := range []struct {
		name, fields string
		want         []string
	}{
		{"nothing", http + "\ntoken: {}", []string{"5: token needs exactly one of"}},
		{"both", http + "\ntoken: {insecureForward: true, exchange: {" + good + "}}", []string{"5: token needs exactly one of"}},
		{"forward", http + "\ntoken: {insecureForward: true}", nil},
		{"forward to others", remote + "\ntoken: {insecureForward: true}", []string{"5: token.insecureForward is not possible with runtime.remote"}},
		{"least", exchange(good), nil},
		{"all", exchange(good + ", grant: token-exchange, audience: a, resource: r, scopes: [s, 'api://x/.default'], subjectTokenType: jwt, requestedTokenType: jwt, " +
			"actor: {secret: {key: a}, tokenType: jwt}, header: X-Token"), nil},
		{"on behalf of", exchange("grant: jwt-bearer, url: 'https://x.test/t', client: {id: c, auth: private_key_jwt, secret: {key: k}, audience: a, keyID: i}"), nil},
		{"public client", exchange("url: 'https://x.test/t', client: {id: c, auth: none}"), nil},
		{"empty", exchange(""), []string{"5: token.exchange.url is missing", "5: token.exchange.client.id is missing", "5: token.exchange.client.secret is missing"}},
		{"choices", exchange(good + ", grant: x, subjectTokenType: saml2, requestedTokenType: id_token, actor: {tokenType: x}"),
			[]string{"5: token.exchange.grant must be token-exchange, jwt-bearer", "5: token.exchange.subjectTokenType must be access_token, jwt",
				"5: token.exchange.requestedTokenType must be access_token, jwt", "5: token.exchange.actor.tokenType must be access_token, jwt",
				"5: token.exchange.actor.secret is missing"}},
		{"scopes", exchange(good + ", scopes: ['a b', '', \"c\\\\d\"]"), []string{"5: token.exchange.scopes: write one scope", "5: token.exchange.scopes: write one scope", "5: token.exchange.scopes: write one scope"}},
		{"actor on behalf of", exchange(good + ", grant: jwt-bearer, actor: {secret: {key: a}}"), []string{"5: token.exchange.actor is for grant: token-exchange"}},
		{"client", exchange("url: 'https://x.test/t', client: {id: c, auth: x, secret: {key: /}, keyID: k}"),
			[]string{"5: token.exchange.client.auth must be", "5: token.exchange.client.secret.key is no key", "5: token.exchange.client.audience and keyID are for"}},
		{"secret of nobody", exchange("url: 'https://x.test/t', client: {id: c, auth: none, secret: {key: k}}"), []string{"5: token.exchange.client.secret is not used"}},
		{"plain", exchange("url: 'http://x.test/t', client: {id: c, auth: none}"), []string{"5: token.exchange.url: http:// is plain text"}},
		{"plain on this machine, not named", exchange("url: 'http://127.0.0.1:81/t', client: {id: c, auth: none}"), []string{"5: token.exchange.url: http:// is plain text"}},
		{"plain on this machine", exchange("url: 'http://127.0.0.1:81/t', egress: [{cidr: 127.0.0.0/8, ports: [81]}], client: {id: c, auth: none}"), nil},
		{"private, not named", exchange("url: 'https://10.1.1.1/t', client: {id: c, auth: none}"), []string{"5: token.exchange.url: 10.1.1.1:443 is a private address"}},
		{"private", exchange("url: 'https://10.1.1.1/t', egress: [{cidr: 10.1.1.0/24, ports: [443]}], client: {id: c, auth: none}"), nil},
		{"metadata", exchange("url: 'https://169.254.169.254/t', egress: [{cidr: 169.254.0.0/16, ports: [443]}], client: {id: c, auth: none}"), []string{"5: token.exchange.url: 169.254.169.254:443 is a cloud's metadata"}},
		{"other port", exchange("url: 'https://x.test/t', egress: [{cidr: 10.1.1.0/24, ports: [8443]}], client: {id: c, auth: none}"), []string{"5: token.exchange.egress names no network at port 443"}},
		{"no network", exchange("url: 'https://x.test/t', egress: [{cidr: x}], client: {id: c, auth: none}"), []string{"5: token.exchange.egress.cidr", "5: token.exchange.egress.ports is missing"}},
		{"query", exchange("url: 'https://x.test/t?secret=hunter2', client: {id: c, auth: none}"), []string{"5: token.exchange.url must hold no query"}},
		{"token's header", exchange(good + ", header: Authorization"), []string{"5: token.exchange.header: leave it out"}},
		{"token's header reserved", exchange(good + ", header: Mcp-Token"), []string{"5: token.exchange.header: Mcp-Token is not the server's"}},

		{"headers", http + "\nheaders: [{name: X-Api-Key, secret: {key: k}}, {name: X-User, claim: email}, {name: Authorization, secret: {key: k}}]", nil},
		{"headers for a remote", remote + "\nheaders: [{name: A1, secret: {key: k}, host: api.test}, {name: A2, secret: {key: k}, host: 'API.test:8443'}]", nil},
		{"headers for another", remote + "\nheaders: [{name: A1, secret: {key: k}}, {name: A2, secret: {key: k}, host: other.test}, {name: A3, secret: {key: k}, host: 'api.test:1'}]",
			[]string{"5: headers.host is missing", "5: headers.host is another", "5: headers.host is another"}},
		{"host beside", http + "\nheaders: [{name: A1, secret: {key: k}, host: localhost}]", []string{"5: headers.host is for runtime.remote"}},
		{"headers of neither", http + "\nheaders: [{name: A1}, {name: A2, claim: ''}, {name: A3, claim: c, secret: {key: k}}]",
			[]string{"5: headers: exactly one of", "5: headers.claim is missing", "5: headers: exactly one of"}},
		{"twice", http + "\nheaders: [{name: X-a, claim: c}, {name: x-A, claim: c}]", []string{"5: headers.name: x-A is given twice"}},
		{"the token's", http + "\ntoken: {insecureForward: true}\nheaders: [{name: authorization, claim: c}]", []string{"6: headers.name: authorization is given twice, or the token takes it"}},
		{"the exchanged token's", exchange(good) + "\nheaders: [{name: authorization, claim: c}]", []string{"6: headers.name: authorization is given twice"}},
		{"the exchanged token's own", exchange(good+", header: X-T") + "\nheaders: [{name: authorization, claim: c}, {name: x-t, claim: c}]", []string{"6: headers.name: x-t is given twice"}},
		{"too many", http + "\nheaders: [" + strings.Repeat("{name: A1, claim: c},", maxHeaders+1) + "]", []string{"5: headers: at most 100"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "apiVersion: v1\nservers:\n  - id: a\n    " + strings.ReplaceAll(tt.fields, "\n", "\n    ") + "\n"
			got := problemsOf(t, text, catalogUnbuilt)
			checkLines(t, got, tt.want...)
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("%q repeats what may be a secret", got)
			}
		})
	}
}

func TestHeaderNames(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Api-Key": true, "x1": true, "Api-Token": true, "Authorization": true, "Private-Token": true,
		"": false, "a": false, "a_b": false, "a b": false, "-a": false, "a-": false, "a:": false, "a\r\nb": false, "hunter2=": false, "ä-b": false,
		"Host": false, "Connection": false, "keep-alive": false, "TE": false, "Transfer-Encoding": false, "Content-Length": false, "Content-Type": false,
		"Upgrade": false, "Proxy-Authorization": false, "Mcp-Session-Id": false, "MCP-Protocol-Version": false, "mcp-x": false, "Shim-Caller": false,
		"X-Forwarded-For": false, "Forwarded": false, "Cookie": false, "Accept": false, "Accept-Encoding": false, "Origin": false, "Knative-Serving-Tag": false,
		"K-Network-Hash": false, "Expect": false, "Range": false, "If-Match": false, "Traceparent": false, "User-Agent": false, strings.Repeat("a", 129): false,
	} {
		got := problemsOf(t, "apiVersion: v1\nservers: [{id: a, runtime: {command: {exec: x, http: {}}}, headers: [{claim: c, name: "+quoted(name)+"}]}]\n", catalogUnbuilt)
		if (len(got) == 0) != want {
			t.Errorf("%q: %q", name, got)
		}
		if strings.Contains(strings.Join(got, ""), "hunter2") {
			t.Errorf("%q repeats what may be a secret", got)
		}
	}
}

func quoted(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(s) + `"`
}
