package catalog

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/socket"
)

const goodPlatform = `apiVersion: v1
publicURL: https://mcp.example.com
issuers:
  - {url: "https://login.example.com/", audiences: ["{resource}"], default: true}
`

func TestLoadPlatform(t *testing.T) {
	dir := writeFiles(t, map[string]string{"p.yaml": goodPlatform, "full.yaml": `apiVersion: v1
publicURL: http://localhost:8080
hosts: ["gateway:8080", "[::1]:8080", "10.0.0.1"]
origins: ["https://app.example.com", "http://127.0.0.1:6274", "chrome-extension://abcdef"]
issuers:
  - {name: corp, url: "http://127.0.0.1:9000", audiences: ["{resource}", "api://{resource}"], default: true}
  - {name: partner, url: "https://p.test", audiences: [shared], insecureSharedAudience: true, groupsClaim: "https://p.test/roles", tokenType: JWT}
limits: {callsPerSecond: 1, burst: 2, streams: 3, inFlight: 4, wakesPerMinute: 5, callTimeout: 6m}
catalog: /srv/catalog
deployer: {state: state, secrets: ../s}
telemetry: {collector: 'http://collector:4318', percent: 0, scrape: true}
`, "knative.yaml": goodPlatform + goodKnative})
	defaults := Limits{CallsPerSecond: 50, Burst: 100, Streams: 32, InFlight: 64, WakesPerMinute: 30, CallTimeout: Duration(15 * time.Minute)}
	tests := []struct {
		file string
		want *Platform
	}{
		{"p.yaml", &Platform{
			APIVersion: "v1", PublicURL: "https://mcp.example.com",
			Issuers: []identity.Issuer{{URL: "https://login.example.com/", Audiences: []string{"{resource}"}, GroupsClaim: "groups", Default: true, TokenType: "at+jwt"}},
			Limits:  defaults, Catalog: dir + "/catalog.yaml",
			Deployer:  Deployer{Socket: dir + "/.run/deployer.sock", State: dir + "/.run", Secrets: dir + "/secrets"},
			Telemetry: Telemetry{Percent: 10},
		}},
		{"full.yaml", &Platform{
			APIVersion: "v1", PublicURL: "http://localhost:8080",
			Hosts:   []string{"gateway:8080", "[::1]:8080", "10.0.0.1"},
			Origins: []string{"https://app.example.com", "http://127.0.0.1:6274", "chrome-extension://abcdef"},
			Issuers: []identity.Issuer{
				{Name: "corp", URL: "http://127.0.0.1:9000", Audiences: []string{"{resource}", "api://{resource}"}, GroupsClaim: "groups", Default: true, TokenType: "at+jwt"},
				{Name: "partner", URL: "https://p.test", Audiences: []string{"shared"}, InsecureSharedAudience: true, GroupsClaim: "https://p.test/roles", TokenType: "JWT"},
			},
			Limits:  Limits{1, 2, 3, 4, 5, Duration(6 * time.Minute)},
			Catalog: "/srv/catalog",
			Deployer: Deployer{Socket: dir + "/state/deployer.sock", State: dir + "/state",
				Secrets: strings.TrimSuffix(dir, "/001") + "/s"},
			Telemetry: Telemetry{Collector: "http://collector:4318", Scrape: true},
		}},
		{"knative.yaml", &Platform{
			APIVersion: "v1", PublicURL: "https://mcp.example.com",
			Issuers: []identity.Issuer{{URL: "https://login.example.com/", Audiences: []string{"{resource}"}, GroupsClaim: "groups", Default: true, TokenType: "at+jwt"}},
			Limits:  defaults, Catalog: dir + "/catalog.yaml",
			Deployer: Deployer{URL: "http://deployer.mcp-system", Account: "mcp-system/gateway", Token: "/var/run/secrets/mcpgateway/token", Socket: dir + "/.run/deployer.sock", State: dir + "/.run", Secrets: dir + "/secrets",
				Knative: &Knative{Namespace: "mcp-servers", Lock: dir + "/catalog.lock", NameKey: dir + "/name.key", Images: KnativeImages{Shim: "registry.test/shim@sha256:0f"},
					Ingress: KnativeIngress{URL: "https://ingress.internal:443", Domain: "servers.example.com", CA: "/etc/ca.pem"}}},
			Telemetry: Telemetry{Percent: 10},
		}},
	}
	for _, tt := range tests {
		got, err := LoadPlatform(dir + "/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dir + "/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, compiledPlatform(), text, false)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.file, diff)
		}
	}
	if p, err := LoadPlatform(dir + "/missing.yaml"); p != nil || err == nil {
		t.Errorf("missing file: %v, %v", p, err)
	}
	t.Chdir(dir)
	if p, err := LoadPlatform("p.yaml"); err != nil || p.Catalog != dir+"/catalog.yaml" {
		t.Errorf("by a relative path: %+v, %v", p, err)
	}
}

func TestPlatformChecks(t *testing.T) {
	const url = "publicURL: https://mcp.example.com"
	const issuer = `  - {url: "https://login.example.com/", audiences: ["{resource}"], default: true}`
	long := strings.Repeat("x", socket.MaxPath)
	tests := []struct {
		name     string
		old, new string // what is changed in goodPlatform
		want     []string
	}{
		{"good", "", "", nil},
		{"no URL", url, "hosts: []", []string{"1: publicURL is missing"}},
		{"bad URL", "https://mcp.example.com", "https://u:hunter2@mcp.example.com", []string{"2: publicURL must hold no user"}},
		{"URL with a path", "example.com", "example.com/", []string{"2: publicURL must be scheme://host"}},
		{"hosts and origins", url, url + "\nhosts: [a, hunter2.*]\norigins:\n- https://u:hunter2@x.test\n- 'null'",
			[]string{"3: hosts: this one holds no valid host", "5: origins: this one must be", "6: origins: this one must be"}},
		{"domain", url, url + "\ndomain: mcp.example.com", nil},
		{"domain with a port", url, url + "\ndomain: servers.test:8443", nil},
		{"no domain", url, url + "\ndomain: '*.example.com'", []string{"3: domain must be a name with names below it"}},
		{"an address as domain", url, url + "\ndomain: 10.0.0.1", []string{"3: domain must be a name with names below it"}},
		{"IPv6 as domain", url, url + "\ndomain: '[::1]'", []string{"3: domain must be a name with names below it"}},
		{"domain in capitals", url, url + "\ndomain: X.test", []string{"3: domain must be a name with names below it"}},
		{"long domain", url, url + "\ndomain: " + strings.Repeat("a.", 100) + "a", []string{"3: domain must be a name with names below it"}},
		{"domain in the clear", "https://mcp.example.com", "http://localhost:8080\ndomain: x.test", []string{"3: domain: publicURL begins with http://"}},
		{"domain of localhost", "https://mcp.example.com", "http://localhost:8080\ndomain: localhost:8080", nil},
		{"host of a server", url, url + "\nhosts: [a.x.test, b.a.x.test]\ndomain: x.test", []string{`3: hosts: "a.x.test" is what a server`}},
		{"no issuers", "issuers:\n" + issuer, "", []string{"1: issuers: at least one is needed"}},
		{"empty issuers", "issuers:\n" + issuer, "issuers: []", []string{"3: issuers: at least one is needed"}},
		{"no default", ", default: true", ", name: x", []string{"3: issuers: one must be marked default"}},
		{"two defaults", issuer, issuer + "\n" + strings.ReplaceAll(issuer, "login", "other"), []string{"5: issuers: only one may be the default"}},
		{"no name", issuer, issuer + "\n  - {url: 'https://x.test', audiences: ['{resource}']}", []string{"5: issuers.name (which all but the default issuer need) is missing"}},
		{"twins", issuer, strings.Replace(issuer+"\n"+issuer, "true}\n  - {", "true, name: a}\n  - {name: a, ", 1),
			[]string{`5: issuers: the name "a" is given twice`, "5: issuers: this url is given twice", "5: issuers: only one"}},
		{"name with a colon", "default: true", `default: true, name: "a:b"`, []string{`4: issuers.name (which all but the default issuer need) "a:b" is no DNS label`}},
		{"issuer URL", "https://login", "http://login", []string{"4: issuers.url must begin with https"}},
		{"issuer query", "com/", "com/?a", []string{"4: issuers.url must hold no query"}},
		{"no issuer URL", `url: "https://login.example.com/", `, "", []string{"4: issuers.url is missing"}},
		{"no audiences", `audiences: ["{resource}"], `, "", []string{"4: issuers.audiences is missing"}},
		{"empty audiences", `["{resource}"]`, "[]", []string{"4: issuers.audiences is missing"}},
		{"shared audience", `["{resource}"]`, `["{resource}", mcp]`, []string{`4: issuers.audiences: "mcp" is the same for all servers`}},
		{"other audiences", `["{resource}"]`, `["", "{server}", "{resource}{", "{resource}{"]`,
			[]string{"4: issuers.audiences: an audience is empty", `4: issuers.audiences: "{server}": the only placeholder`, `4: issuers.audiences: "{resource}{": the only`,
				`4: issuers.audiences: "{resource}{": the only`, `4: issuers.audiences: "{resource}{" is given twice`}},
		{"token type", "default", "tokenType: id, groupsClaim: '', default", []string{"4: issuers.groupsClaim is empty", "4: issuers.tokenType must be at+jwt, JWT"}},
		{"keys", "default", "keys: {}, default", []string{`4: issuers.keys must be text: write it in quotes`}},
		{"limits", url, url + "\nlimits: {burst: 0, callTimeout: 25h}", []string{"3: limits.burst must be between 1 and 1000000", "3: limits.callTimeout must be between 1s and 24h0m0s"}},
		{"audit without url", url, url + "\naudit: {}", []string{"3: audit.url is missing"}},
		{"audit", url, url + "\naudit: {url: 'http://siem.test', secret: {key: ../x}, second: file, spoolMiB: 15, interval: 2m}", []string{
			"3: audit.url must begin with https", "3: audit.secret.key is no key", "3: audit.second must be stdout, none", "3: audit.spoolMiB must be between 16 and 4096",
			"3: audit.interval must be between 100ms and 1m0s"}},
		{"audit store", url, url + "\naudit: {url: 'https://siem.test', secret: {key: audit}, store: {auditors: [security], table: mcp-audit, bucket: mcp-audit-1, keep: 90d}}", nil},
		{"no auditors", url, url + "\naudit: {url: 'https://siem.test', store: {table: a, keep: 5000d}}", []string{"3: audit.store.auditors: name 1 to 100 groups",
			`3: audit.store.table: "a" is no name`, "3: audit.store: table and bucket go together", "3: audit.store.keep must be between 24h0m0s and"}},
		{"audit store whose tokens the deployer makes", url, url + "\naudit: {url: 'https://siem.test', store: {auditors: [security]}}", nil},
		{"audit socket", url, url + "\naudit: {url: 'unix:audit-in/audit.sock', store: {auditors: [security]}}", nil},
		{"audit socket of a cluster", url, url + "\naudit: {url: 'unix:/audit.sock'}\ndeployer: {knative: {nameKey: k, images: {shim: x}, ingress: {url: 'https://i.test', domain: a.test, ca: c}}}",
			[]string{"3: audit.url: pods reach no socket of this machine"}},
		{"long audit socket", url, url + "\naudit: {url: 'unix:/" + long + "'}", []string{"3: audit.url: the socket's path is longer than 103 bytes"}},
		{"other auditors", url, url + "\naudit: {url: 'https://siem.test', secret: {key: audit}, store: {auditors: ['partner:security'], table: mcp-audit, bucket: A}}",
			[]string{`3: audit.store.auditors: "partner:security": no issuer is called "partner"`, `3: audit.store.bucket: "A" is no name`}},
		{"sessions", url, url + "\nsessions: {}", nil},
		{"sessions elsewhere", url, url + "\nsessions: {url: 'https://mcp.example.com/sessions', table: mcp-sessions}\ndeployer: {docker: {}}", nil},
		{"sessions of containers", url, url + "\nsessions: {}\ndeployer: {docker: {}}", []string{"3: sessions.url must be http:// or https:// where shims run in containers"}},
		{"a socket of containers", url, url + "\nsessions: {url: 'unix:/run/s'}\ndeployer: {docker: {}}", []string{"3: sessions.url must be http:// or https:// where shims run in containers"}},
		{"sessions nowhere", url, url + "\nsessions: {url: 'unix:s', table: a}", []string{`3: sessions.table: "a" is no name`, "3: sessions.url: unix:PATH needs an absolute path"}},
		{"sessions unsafe", url, url + "\nsessions: {url: 'http://mcp.example.com/sessions'}", []string{"3: sessions.url must begin with https"}},
		{"sessions without a host", url, url + "\nsessions: {url: 'http:///sessions'}", []string{"3: sessions.url is no URL"}},
		{"sessions of a machine", url, url + "\nsessions: {url: 'http://172.17.0.1:8084/sessions'}\ndeployer: {docker: {}}", nil},
		{"sessions of a cluster", url, url + "\nsessions: {url: 'http://sessions.mcp-system.svc:8084/sessions'}", nil},
		{"sessions too deep", url, url + "\nsessions: {state: /" + long + "}", []string{"3: sessions.url: the socket's path is longer"}},
		{"telemetry", url, url + "\ntelemetry: {collector: 'https://u:hunter2@c.test', percent: 101}",
			[]string{"3: telemetry.percent must be between 0 and 100", "3: telemetry.collector must be http[s]://"}},
		{"no collector's base", url, url + "\ntelemetry: {collector: 'https://c.test/?a'}", []string{"3: telemetry.collector must be http[s]://"}},
		{"paths", url, url + "\ncatalog: ''\ndeployer: {socket: /" + long + ", state: \"\\0\"}",
			[]string{"3: catalog is empty", "4: deployer.state is no path", "4: deployer.socket: the path is longer than 103 bytes"}},
		{"long state", url, url + "\ndeployer: {state: /" + long + "}", []string{"0: deployer.socket: the path is longer"}},
		{"many issuers", issuer, issuer + strings.Repeat("\n  - {}", maxIssuers), append([]string{"3: issuers: at most 100"}, manyBareIssuers()...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(strings.Replace(goodPlatform, tt.old, tt.new, 1))
			d := newDocument("/etc/p.yaml", text)
			parsePlatform(d)
			agree(t, compiledPlatform(), text, len(d.problems) > 0)
			got := lines(collect(d))
			checkLines(t, got, tt.want...)
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("%q repeats what may be a secret", got)
			}
		})
	}
}

func manyBareIssuers() []string {
	var want []string
	for i := range maxIssuers {
		for _, field := range []string{"name", "url", "audiences"} {
			want = append(want, strconv.Itoa(5+i)+": issuers."+field)
		}
	}
	return want
}

func TestOrigins(t *testing.T) {
	tests := []struct {
		raw                 string
		public, origin, url bool // fit for publicURL, for origins, for an issuer
	}{
		{"https://a.example", true, true, true},
		{"https://a.example:8443", true, true, true},
		{"http://localhost:8080", true, true, true},
		{"http://app.localhost", true, true, true},
		{"http://127.0.0.1", true, true, true},
		{"http://[::1]:80800", false, false, false},
		{"http://[::1]:8080", true, true, true},
		{"https://a.example/", false, false, true},
		{"https://a.example/x", false, false, true},
		{"https://a.example?x", false, false, false},
		{"https://a.example?", false, false, false},
		{"https://a.example#", false, false, false},
		{"https://u:p@a.example", false, false, false},
		{"https://@a.example", false, false, false},
		{"https://A.example", false, false, true},
		{"HTTPS://a.example", false, false, true},
		{"https://a.example:443", false, false, true},
		{"https://a.example:", false, false, false},
		{"https://a.example:0", false, false, false},
		{"https://a..example", false, false, false},
		{"https://*.example", false, false, false},
		{"https://a b", false, false, false},
		{"https://a.example/ ", false, false, false},
		{"https://[::1", false, false, false},
		{"https://[127.0.0.1]", false, false, false},
		{"https://[::1]x", false, false, false},
		{"https://[fe80::1%25eth0]", false, false, false},
		{"https://[FE80::1]", false, false, true},
		{"0://a.example", false, false, false},
		{"https://", false, false, false},
		{"http://a.example", false, false, false},
		{"http://127.0.0.1.a.example", false, false, false},
		{"http://localhost:80", false, false, true},
		{"ftp://a.example", false, true, false},
		{"chrome-extension://abc", false, true, false},
		{"null", false, false, false},
		{"*", false, false, false},
		{"", false, false, false},
		{"a.example", false, false, false},
		{"https:a.example", false, false, false},
		{"https://" + strings.Repeat("a.", 130) + "example", false, false, false},
	}
	for _, tt := range tests {
		if got := checkURL(tt.raw) == nil && checkOrigin(tt.raw) == nil; got != tt.public {
			t.Errorf("%q for publicURL: %v", tt.raw, got)
		}
		if got := checkOrigin(tt.raw) == nil; got != tt.origin {
			t.Errorf("%q for origins: %v", tt.raw, got)
		}
		if got := checkURL(tt.raw) == nil; got != tt.url {
			t.Errorf("%q as a URL: %v", tt.raw, got)
		}
	}
}
