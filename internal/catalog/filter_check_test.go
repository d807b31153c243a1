package catalog

import (
	"strings"
	"testing"
)

func TestFilterChecks(t *testing.T) {
	tests := []struct {
		name, filter string
		want         []string
	}{
		{"webhook", `{name: f, webhook: {url: "https://x.test/h", secret: {key: k}}, on: ["tools/call?name=create_*", "tools/call&direction=response", "*"], mutate: true, timeout: 1s, onError: accept}`, nil},
		{"mcp", `{name: f, mcp: {url: "https://x.test/h", tool: t}, on: ["*"]}`, nil},
		{"server", `{name: f, server: a, on: ["*"]}`, []string{"5: filters.server needs the platform's oauth"}},
		{"tool of no server", `{name: f, mcp: {url: "https://x.test/h", tool: t}, tool: t, egress: [], on: ["*"]}`, []string{"5: filters.tool and filters.egress are for filters.server"}},
		{"bare", `{}`, []string{"5: filters.name is missing", "5: filters: exactly one of webhook, mcp and server", "5: filters.on is missing"}},
		{"two", `{name: f, webhook: {}, mcp: {}, on: ["*"]}`,
			[]string{"5: filters: exactly one", "5: filters.webhook.url is missing", "5: filters.mcp.url is missing", "5: filters.mcp.tool is missing"}},
		{"bad", `{name: f, server: b, on: ["", "a?x=1", "a?direction=up"], timeout: 1h, onError: x}`, []string{
			`5: filters.server: there is no server "b"`, "5: filters.server needs", "5: filters.on", "5: filters.on", "5: filters.on",
			"5: filters.timeout must be between 10ms and 1m0s", "5: filters.onError must be reject, accept"}},
		{"selectors", `{name: f, mcp: {url: "https://x.test", tool: t}, on: ["tools/call?name=%zz", "a?name=b&name=c", "a?direction=request&direction=response", "a?name=%26"]}`, []string{
			`5: filters.on: "tools/call?name=%zz" is no selector`, "5: filters.on", "5: filters.on"}},
		{"plain http", `{name: f, webhook: {url: "http://127.0.0.1:9000/hook"}, on: ["*"]}`, []string{"5: filters.webhook.url: http:// is plain text"}},
		{"plain http, named", `{name: f, webhook: {url: "http://127.0.0.1:9000/hook", egress: [{cidr: 127.0.0.1/32, ports: [9000]}]}, on: ["*"]}`, nil},
		{"private", `{name: f, mcp: {url: "https://10.1.2.3/mcp", tool: t}, on: ["*"]}`, []string{"5: filters.mcp.url: 10.1.2.3:443 is a private address"}},
		{"metadata", `{name: f, webhook: {url: "https://169.254.169.254/mcp", egress: [{cidr: 169.254.0.0/16, ports: [443]}]}, on: ["*"]}`, []string{"5: filters.webhook.url: 169.254.169.254:443 is a cloud's metadata address"}},
		{"private, named", `{name: f, mcp: {url: "https://10.1.2.3/mcp", tool: t, egress: [{cidr: 10.0.0.0/8, ports: [443]}]}, on: ["*"]}`, nil},
		{"bad egress", `{name: f, mcp: {url: "https://x.test/mcp", tool: t, egress: [{cidr: 10.0.0.1/8}]}, on: ["*"]}`, []string{"5: filters.mcp.egress.cidr", "5: filters.mcp.egress.ports is missing"}},
		{"other port", `{name: f, webhook: {url: "https://x.test/h", egress: [{cidr: 10.0.0.0/8, ports: [8443]}]}, on: ["*"]}`, []string{"5: filters.webhook.egress names no network at port 443"}},
		{"credentials in a URL", `{name: f, webhook: {url: "https://u:hunter2@x.test"}, on: ["*"]}`, []string{"5: filters.webhook.url must hold no user or password"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, oneServer+"filters: ["+tt.filter+"]\n", nil)
			checkLines(t, got, tt.want...)
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("%q repeats what may be a secret", got)
			}
		})
	}
}
