package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mcpgateway/internal/identity"
)

const goodKnative = `deployer:
  url: http://deployer.mcp-system
  knative:
    nameKey: name.key
    images: {shim: "registry.test/shim@sha256:0f"}
    ingress: {url: "https://ingress.internal:443", domain: servers.example.com, ca: /etc/ca.pem}
`

func TestKnativeChecks(t *testing.T) {
	const secure = `url: "https://ingress.internal:443", domain: servers.example.com, ca: /etc/ca.pem`
	const address = "https://ingress.internal:443"
	tests := []struct {
		name     string
		old, new string // what is changed in goodKnative, whose first line is 5
		want     []string
	}{
		{"good", "", "", nil},
		{"plain ingress", secure, "url: 'http://127.0.0.1:18000', domain: a.test, insecurePlainIngress: true", nil},
		{"all", "nameKey:", "namespace: a\n    kubeconfig: k.yaml\n    lock: l\n    nameKey:", nil},
		{"Secrets Manager", "nameKey:", "secretsManager: {prefix: mcp/prod/}\n    nameKey:", nil},
		{"Secrets Manager without a prefix", "nameKey:", "secretsManager: {}\n    nameKey:", []string{"8: deployer.knative.secretsManager.prefix is missing"}},
		{"a prefix that others begin with", "nameKey:", "secretsManager: {prefix: mcp}\n    nameKey:", []string{"8: deployer.knative.secretsManager.prefix must"}},
		{"a prefix that is a pattern", "nameKey:", "secretsManager: {prefix: '*/'}\n    nameKey:", []string{"8: deployer.knative.secretsManager.prefix must"}},
		{"deployer's URL", "http://deployer.mcp-system", "https://deployer.mcp-system:8443", nil},
		{"deployer is a function", "url: http://deployer.mcp-system", "function: mcp-deployer_1", nil},
		{"deployer at two places", "url: http://deployer.mcp-system", "url: http://deployer.mcp-system\n  function: deployer", []string{"7: deployer.function and deployer.url"}},
		{"deployer's function", "url: http://deployer.mcp-system", "function: 'arn:aws:lambda'", []string{"6: deployer.function must be the name"}},
		{"deployer's URL with a path", "mcp-system", "mcp-system/", []string{"6: deployer.url must be http[s]://HOST[:PORT]"}},
		{"deployer's URL with a password", "http://", "http://u:hunter2@", []string{"6: deployer.url must be"}},
		{"deployer's URL of a socket", "http://deployer.mcp-system", "unix:///x", []string{"6: deployer.url must be"}},
		{"deployer's URL is empty", "http://deployer.mcp-system", "''", []string{"6: deployer.url must be"}},
		{"deployer's URL without a cluster", goodKnative, "deployer: {url: 'http://deployer'}\n", []string{"5: deployer.url is for a cluster"}},
		{"who asks it", "http://deployer.mcp-system\n", "http://deployer\n  account: a-b/c.d\n  token: t\n", nil},
		{"who asks its socket", "url: http://deployer.mcp-system\n", "account: a/b\n  token: t\n", []string{"5: deployer.account and deployer.token are for"}},
		{"half an account", "http://deployer.mcp-system\n", "http://deployer\n  account: gateway\n", []string{"7: deployer.account must be NAMESPACE/NAME"}},
		{"an account's user name", "http://deployer.mcp-system\n", "http://deployer\n  account: 'system:serviceaccount:a:b'\n  token: ''\n", []string{
			"7: deployer.account must be NAMESPACE/NAME", "8: deployer.token is empty"}},
		{"EKS", "nameKey:", "eks: {cluster: a_b-C, region: us-gov-west-1, endpoint: 'https://0F.gr7.us-gov-west-1.eks.amazonaws.com', ca: ca.pem}\n    nameKey:", nil},
		{"EKS without all", "nameKey:", "eks: {}\n    nameKey:", []string{"8: deployer.knative.eks.cluster is missing", "8: deployer.knative.eks.region is missing",
			"8: deployer.knative.eks.endpoint is missing", "8: deployer.knative.eks.ca is missing"}},
		{"EKS that is none", "nameKey:", "eks: {cluster: a b, region: local, endpoint: 'http://x.test', ca: ''}\n    nameKey:", []string{
			"8: deployer.knative.eks.cluster is no name", "8: deployer.knative.eks.region is no region", "8: deployer.knative.eks.endpoint must be https", "8: deployer.knative.eks.ca is missing"}},
		{"EKS and a kubeconfig", "nameKey:", "kubeconfig: k\n    eks: {cluster: a, region: eu-central-1, endpoint: 'https://x.test', ca: c}\n    nameKey:",
			[]string{"8: deployer.knative: kubeconfig and eks are two ways"}},
		{"EKS of a role", "nameKey:", "eks: {cluster: a, region: eu-central-1, endpoint: 'https://x.test', ca: c, role: r}\n    nameKey:", []string{`8: unknown field "deployer.knative.eks.role"`}},
		{"secrets of processes", "  knative:", "  secrets: x\n  knative:", []string{"7: deployer.secrets is for processes"}},
		{"namespace", "nameKey:", "namespace: a.b\n    nameKey:", []string{`8: deployer.knative.namespace "a.b" is no DNS label`}},
		{"empty paths", "nameKey: name.key", "nameKey: ''\n    kubeconfig: ''\n    lock: ''",
			[]string{"8: deployer.knative.nameKey is missing", "9: deployer.knative.kubeconfig is empty", "10: deployer.knative.lock is empty"}},
		{"no key", "nameKey: name.key\n    ", "", []string{"7: deployer.knative.nameKey is missing"}},
		{"no images", `images: {shim: "registry.test/shim@sha256:0f"}`, "", []string{"7: deployer.knative.images.shim is missing"}},
		{"images", `shim: "registry.test/shim@sha256:0f"`, "shim: '', node: '', python: 'a b'", []string{
			"9: deployer.knative.images.shim is missing", "9: deployer.knative.images.node is no image", "9: deployer.knative.images.python is no image"}},
		{"image", "registry.test/shim@sha256:0f", "-x", []string{"9: deployer.knative.images.shim is no image"}},
		{"no ingress", "ingress: {" + secure + "}", "", []string{"7: deployer.knative.ingress.domain is missing", "7: deployer.knative.ingress.url is missing"}},
		{"no CA", ", ca: /etc/ca.pem", "", []string{"10: deployer.knative.ingress.ca is missing"}},
		{"empty CA", "/etc/ca.pem", "''", []string{"10: deployer.knative.ingress.ca is empty"}},
		{"plain text unasked", secure, "url: 'http://127.0.0.1:1', domain: a.test", []string{"10: deployer.knative.ingress.url: callers' tokens would travel in plain text"}},
		{"plain text to elsewhere", secure, "url: 'http://10.0.0.1', domain: a.test, insecurePlainIngress: true", []string{"10: deployer.knative.ingress.url must begin with https"}},
		{"CA of plain text", secure, "url: 'http://127.0.0.1:1', domain: a.test, ca: x, insecurePlainIngress: true", []string{"10: deployer.knative.ingress.ca is for https"}},
		{"plain text over TLS", "ca: ", "insecurePlainIngress: true, ca: ", []string{"10: deployer.knative.ingress.insecurePlainIngress is for http"}},
		{"ingress with a path", address, address + "/", []string{"10: deployer.knative.ingress.url must be scheme://host"}},
		{"ingress with a password", "https://", "https://u:hunter2@", []string{"10: deployer.knative.ingress.url must hold no user"}},
		{"domain with a port", "servers.example.com", "'servers.example.com:443'", []string{"10: deployer.knative.ingress.domain must be a domain"}},
		{"domain is an address", "servers.example.com", "10.0.0.1", []string{"10: deployer.knative.ingress.domain must be a domain"}},
		{"domain with an underscore", "servers.example.com", "a_b.test", []string{"10: deployer.knative.ingress.domain must be a domain"}},
		{"long domain", "servers.example.com", strings.Repeat("a.", 88) + "bb", []string{"10: deployer.knative.ingress.domain is too long"}},
		{"domain with a dot at its end", "servers.example.com", "a.test.", []string{"10: deployer.knative.ingress.domain must be"}},
		{"not too long a domain", "servers.example.com", strings.Repeat("a.", 88) + "b", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(goodPlatform + strings.Replace(goodKnative, tt.old, tt.new, 1))
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

// A cluster runs what it can, and the names of servers' services fit what a service may be called.
func TestServersOfACluster(t *testing.T) {
	const http = ", runtime: {container: {image: i, port: 80}}"
	const program = ", runtime: {command: {exec: x, http: {}}}"
	long := func(n int) string { return strings.Repeat("a", n) + http }
	const own = ", instances: {per: user}"
	tests := []struct {
		name    string
		knative *Knative
		fields  string
		want    []string
	}{
		{"shared", &Knative{}, long(59), nil},
		{"shared, too long", &Knative{}, long(60), []string{"2: id is longer than 59 characters"}},
		{"own", &Knative{NameKey: "/k"}, long(42) + own, nil},
		{"own, too long", &Knative{NameKey: "/k"}, long(43) + own, []string{"2: id is longer than 42 characters"}},
		{"no cluster", nil, strings.Repeat("a", 63) + program + own, nil},
		{"a program", &Knative{}, "a" + program, []string{"2: runtime.command is a program of this machine"}},
		{"a container without a cluster", nil, "a" + http, []string{"2: runtime.container without an engine is not built yet"}},
		{"egress", &Knative{}, "a" + http + ", egress: [{cidr: 140.82.112.0/20, ports: [443]}, {cidr: 0.0.0.0/0, ports: [80]}]", nil},
		{"egress without a cluster", nil, "a" + program + ", egress: [{cidr: 140.82.112.0/20, ports: [443]}]", []string{"2: egress without runtime.remote on one machine is not built yet"}},
		{"egress, all wrong", &Knative{}, "a" + http + ",\n  egress: [{cidr: 169.254.0.0/16, ports: [80]},\n  {cidr: 'fe80::1/128', ports: [0]},\n  {cidr: 10.0.0.1/8}]",
			[]string{"3: egress.cidr: no server in a cluster reaches 169.254.0.0/16", "4: egress.cidr: no server in a cluster reaches fe80::1/128", "4: egress.ports must be",
				"5: egress.cidr", "5: egress.ports is missing"}},
		{"a link-local token endpoint", &Knative{}, "a" + http + ", token: {exchange: {url: 'https://169.254.1.1/t', egress: [{cidr: 169.254.0.0/16, ports: [443]}], client: {id: c, auth: none}}}",
			[]string{"2: token.exchange.egress.cidr: no server in a cluster reaches 169.254.0.0/16"}},
		{"a link-local server", &Knative{}, "a, runtime: {remote: {url: 'https://169.254.1.1/'}}, egress: [{cidr: 169.254.0.0/16, ports: [443]}]",
			[]string{"2: egress.cidr: no server in a cluster reaches 169.254.0.0/16"}},
		{"link-local, and no cluster", nil, "a, runtime: {remote: {url: 'https://169.254.1.1/'}}, egress: [{cidr: 169.254.0.0/16, ports: [443]}]", nil},
		{"idleDelete", &Knative{NameKey: "/k"}, "a" + http + ", instances: {per: user, idleDelete: 30d}", nil},
		{"idleDelete without a cluster", nil, "a" + program + ", instances: {per: user, idleDelete: 30d}", []string{"2: instances.idleDelete on one machine is not built yet"}},
		{"a token endpoint anywhere", &Knative{}, "a" + http + ",\n token: {exchange: {url: 'https://x.test/t', client: {id: c, auth: none}}}", []string{"3: token.exchange.egress is missing"}},
		{"a token endpoint anywhere, of a remote server", &Knative{}, "a, runtime: {remote: {url: 'https://x.test/'}}, token: {exchange: {url: 'https://x.test/t', client: {id: c, auth: none}}}", nil},
		{"a token endpoint anywhere, without a cluster", nil, "a" + program + ", token: {exchange: {url: 'https://x.test/t', client: {id: c, auth: none}}}", nil},
		{"no id", &Knative{}, strings.Repeat("a", 64) + http, []string{"2: id"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := *testPlatform
			p.Deployer.Knative = tt.knative
			text := "apiVersion: v1\nservers: [{id: " + tt.fields + "}]\n"
			_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, &p, checkTestCondition, unbuiltFor(&p))
			checkLines(t, lines(problems), tt.want...)
		})
	}
}

// What filters reach is reached from the pods of the servers that name them.
func TestFiltersOfACluster(t *testing.T) {
	p := *testPlatform
	p.Deployer.Knative = &Knative{}
	text := oneServer + `    filters: [w, m, near,
      far,
      farther]
  - {id: b, runtime: {remote: {url: "https://x.test/"}}, filters: [far, farther]}
filters:
  - {name: near, webhook: {url: "https://10.0.0.1/", egress: [{cidr: 10.0.0.0/8, ports: [443]}]}, on: ["*"]}
  - {name: far, webhook: {url: "https://x.test/"}, on: ["*"]}
  - {name: farther, mcp: {url: "https://x.test/", tool: t}, on: ["*"]}
  - {name: w, webhook: {url: "https://169.254.1.1/", egress: [{cidr: 169.254.0.0/16, ports: [443]}]}, on: ["*"]}
  - {name: m, mcp: {url: "https://169.254.1.1/", tool: t, egress: [{cidr: 169.254.0.0/16, ports: [443]}]}, on: ["*"]}
`
	_, problems := parseCatalog([]*document{newDocument("c", []byte(strings.Replace(text, "command: {exec: x, http: {}}", "container: {image: i, port: 80}", 1)))}, &p, checkTestCondition, unbuiltFor(&p))
	first := strings.Count(oneServer, "\n") + 9
	checkLines(t, lines(problems), `6: filters: "far" has no egress`, `7: filters: "farther" has no egress`,
		fmt.Sprint(first)+": filters.webhook.egress.cidr: no server in a cluster", fmt.Sprint(first+1)+": filters.mcp.egress.cidr: no server in a cluster")
}

// Whoever brings the platform's files where they are read brings issuers' keys, too.
func TestFilesHaveKeys(t *testing.T) {
	p := &Platform{Catalog: "/c.yaml", Issuers: []identity.Issuer{{URL: "https://a.test", KeysFile: "/keys/a.json"}, {URL: "https://b.test"}}}
	if got, want := p.Files(), []string{"/c.yaml", "/keys/a.json"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
