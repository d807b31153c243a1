package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodPlatform = `apiVersion: v1
publicURL: https://mcp.example.com
issuers:
  - {url: "https://login.example.com", audiences: ["{resource}"], default: true}
`

const goodCatalog = `apiVersion: v1
servers:
  - id: sample
    runtime: {command: {exec: sample-server, args: ["-listen", "127.0.0.1:{port}"], http: {}}}
policies:
  - {name: all, allow: {anyone: true}, servers: [sample]}
`

// stdioCatalog has every kind of server that speaks stdio. Whether a package exists is not for validate to find out.
const stdioCatalog = `apiVersion: v1
servers:
  - {id: npx, runtime: {npx: {package: "@mcpgateway-none/nothing@1.2.3", args: [stdio]}}}
  - {id: uvx, runtime: {uvx: {package: "mcpgateway-nothing==1.2.3"}}, stdio: {child: shared}}
  - {id: command, runtime: {command: {exec: no-such-program}}, stdio: {child: session, max: 3}}
`

// clusterPlatform is of a cluster where nobody answers.
const (
	clusterPlatform = goodPlatform + `catalog: away.yaml
deployer:
  knative:
    kubeconfig: kubeconfig
    nameKey: name.key
    images: {shim: "registry.example.com/shim:v1"}
    ingress: {url: "http://127.0.0.1:1", domain: example.com, insecurePlainIngress: true}
`
	awayCatalog = `apiVersion: v1
servers:
  - {id: far, runtime: {container: {image: "registry.example.com/far:v1", port: 80}}}
  - {id: own, runtime: {container: {image: "registry.example.com/own:v1", port: 80}}, instances: {per: user, max: 2}}
policies: []
`
	awayKubeconfig = `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
 clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}`
)

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PATH", "") // no verb here needs npm, uv or any other program
	for name, content := range map[string]string{
		"platform.yaml": goodPlatform, "catalog.yaml": goodCatalog,
		"other.yaml":   strings.ReplaceAll(goodCatalog, "sample", "other"),
		"stdio.yaml":   stdioCatalog,
		"cluster.yaml": clusterPlatform, "away.yaml": awayCatalog, "kubeconfig": awayKubeconfig,
		"loose.yaml":    strings.Replace(stdioCatalog, "nothing@1.2.3", "nothing@latest", 1),
		"bad.yaml":      "apiVersion: v1\nserver: []\npolicies: 3\n",
		"bad/p.yaml":    "apiVersion: v2\npublicURL: https://mcp.example.com/\n",
		"folder/a.yaml": goodCatalog,
		"when.yaml":     goodCatalog + "  - name: p\n    allow: {anyone: true}\n    servers: [sample]\n    when: |\n      args.x == 1 &&\n      user.sub == 'x'\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const listing = "  validate   check the platform file and the catalog\n"
	tests := []struct {
		args           string
		code           int
		stdout, stderr string // parts
	}{
		{"", exitUsage, "", listing},
		{"--help", exitOK, listing, ""},
		{"help", exitOK, listing, ""},
		{"nonsense", exitUsage, "", `there is no verb "nonsense"`},
		{"status --help", exitOK, "", "Usage: mcpgateway status [--state FOLDER | --platform FILE] [--json]"},
		{"status now", exitUsage, "", `unexpected argument "now"`},
		{"status --state nowhere", exitProblems, "", "mcpgateway status: nothing runs in nowhere: start it with mcpgateway run"},
		{"status --state nowhere --json", exitProblems, "", "mcpgateway status: nothing runs in nowhere"},
		{"status --platform platform.yaml", exitProblems, "", "mcpgateway status: platform.yaml has no deployer.knative"},
		{"status --platform bad/p.yaml --json", exitProblems, "", "bad/p.yaml:1: apiVersion must be v1"},
		{"status --platform cluster.yaml", exitProblems, "", "127.0.0.1:1: connect: connection refused"},
		{"logs --help", exitOK, "", "Usage: mcpgateway logs ID [FLAGS]"},
		{"logs", exitUsage, "", "mcpgateway logs: which server? Its ID is missing"},
		{"logs --follow", exitUsage, "", "mcpgateway logs: which server? Its ID is missing"},
		{"logs a b", exitUsage, "", `mcpgateway logs: unexpected argument "b"`},
		{"logs a --follow --previous", exitUsage, "", "--follow does not go with --previous"},
		{"logs a --tail -1", exitUsage, "", "--tail takes a number from 0 on"},
		{"logs sample --nonsense", exitUsage, "", "flag provided but not defined"},
		{"logs sample", exitProblems, "", "mcpgateway logs: platform.yaml has no deployer.knative"},
		{"logs nobody --platform cluster.yaml", exitProblems, "", `has no server "nobody"`},
		{"logs far --platform cluster.yaml --owner 0123456789abcdef", exitProblems, "", "server far is the same for all users"},
		{"logs --tail 3 far --platform cluster.yaml --container shim", exitProblems, "", "mcpgateway logs: list pods"},
		{"wake --help", exitOK, "", "Usage: mcpgateway wake ID [FLAGS]"},
		{"wake", exitUsage, "", "mcpgateway wake: which server? Its ID is missing"},
		{"wake a b", exitUsage, "", `mcpgateway wake: unexpected argument "b"`},
		{"wake nobody --platform cluster.yaml", exitProblems, "", `has no server "nobody"`},
		{"wake own --platform cluster.yaml", exitProblems, "", "--owner says whose"},
		{"wake own --owner alice --platform cluster.yaml", exitProblems, "", "16 hex digits stand for a user"},
		{"wake far --platform cluster.yaml", exitProblems, "", "mcpgateway wake: server far: list services"},
		{"schema --help", exitOK, "", "Usage: mcpgateway schema catalog|platform"},
		{"schema", exitUsage, "", "Usage: mcpgateway schema catalog|platform"},
		{"schema servers", exitUsage, "", "Usage: mcpgateway schema catalog|platform"},
		{"schema catalog platform", exitUsage, "", "Usage: mcpgateway schema catalog|platform"},
		{"schema catalog", exitOK, `"title": "The catalog of an MCP gateway"`, ""},
		{"schema platform", exitOK, `"title": "The platform file of an MCP gateway"`, ""},
		{"validate --help", exitOK, "", "Usage: mcpgateway validate [--platform FILE] [CATALOG...]"},
		{"validate --nonsense", exitUsage, "", "flag provided but not defined"},
		{"validate", exitOK, "ok: 1 servers, 1 policies\n", ""},
		{"validate catalog.yaml other.yaml", exitOK, "ok: 2 servers, 2 policies\n", ""},
		{"validate folder", exitOK, "ok: 1 servers, 1 policies\n", ""},
		{"validate stdio.yaml", exitOK, "ok: 3 servers, 0 policies\n", ""},
		{"validate loose.yaml", exitProblems, "loose.yaml:3: runtime.npx.package must be pinned to one version, as in name@1.2.3", ""},
		{"validate bad.yaml", exitProblems, "bad.yaml:2: unknown field \"server\"\nbad.yaml:3: policies must be a list\n", ""},
		{"validate when.yaml", exitProblems, "when.yaml:10: policies.when: line 2, column 5: undeclared reference to 'user.sub' (did you mean 'user.subject'?)\n", ""},
		{"validate missing.yaml", exitProblems, "missing.yaml: read: no such file or directory\n", ""},
		{"validate --platform missing.yaml", exitProblems, "missing.yaml: read: no such file or directory\n", ""},
		{"validate --platform bad/p.yaml bad.yaml", exitProblems, "bad/p.yaml:1: apiVersion must be v1\n", ""},
		{"validate --platform bad/p.yaml bad.yaml", exitProblems, "\nbad.yaml:2: unknown field", ""},
	}
	for _, tt := range tests {
		var stdout, stderr strings.Builder
		code := run(context.Background(), strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%s: exit %d\nstdout: %s\nstderr: %s", tt.args, code, &stdout, &stderr)
		}
		if tt.code == exitProblems && tt.stderr == "" && stderr.Len() > 0 || tt.stdout == "" && stdout.Len() > 0 {
			t.Errorf("%s: output on the wrong stream\nstdout: %s\nstderr: %s", tt.args, &stdout, &stderr)
		}
	}
}
