package catalog

import (
	"strings"
	"testing"
)

// Each case is a server's fields, one line each from line 4 on, and the problems they make.
func TestServerChecks(t *testing.T) {
	const http = "runtime: {command: {exec: x, http: {}}}"
	tests := []struct {
		name, fields string
		want         []string
	}{
		{"good", http, nil},
		{"no runtime", "title: a", []string{"3: runtime needs exactly one of"}},
		{"empty runtime", "runtime: {}", []string{"4: runtime needs exactly one of"}},
		{"two runtimes", `runtime: {command: {exec: x}, remote: {url: "https://x.test"}}`, []string{"4: runtime needs exactly one of"}},
		{"title", http + "\ntitle: " + strings.Repeat("x", 201), []string{"5: title is longer than 200 bytes"}},
		{"control characters", http + "\ntitle: \"a\\u0007\"\ndescription: \"a\\0\"", []string{"5: title holds control", "6: description holds control"}},
		{"text over lines", http + "\ndescription: \"a\\nb\"", nil},

		{"npx", `runtime: {npx: {package: "@a/b-c@1.2.3-rc.1", args: ["{port}"]}}`, nil},
		{"npx unpinned", `runtime: {npx: {package: "@a/b"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx tag", `runtime: {npx: {package: "b@latest"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx range", `runtime: {npx: {package: "b@^1.2.3"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx part", `runtime: {npx: {package: "b@1.2"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx flag", `runtime: {npx: {package: "--yes@1.2.3"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx file", `runtime: {npx: {package: "../b@1.2.3"}}`, []string{"4: runtime.npx.package must be pinned"}},
		{"npx missing", `runtime: {npx: {}}`, []string{"4: runtime.npx.package is missing"}},
		{"uvx", `runtime: {uvx: {package: "a-b[x,y]==1.2.post1"}}`, nil},
		{"uvx range", `runtime: {uvx: {package: "a>=1.2"}}`, []string{"4: runtime.uvx.package must be pinned"}},
		{"uvx wildcard", `runtime: {uvx: {package: "a==1.*"}}`, []string{"4: runtime.uvx.package must be pinned"}},
		{"container", `runtime: {container: {image: "ghcr.io/a/b:1@sha256:0f", port: 8080, path: /x, imagePullSecret: s}}`, nil},
		{"container bare", `runtime: {container: {}}`, []string{"4: runtime.container.image is missing", "4: runtime.container.port is missing"}},
		{"container bad", `runtime: {container: {image: "a b", port: 0, path: x, imagePullSecret: ""}}`,
			[]string{"4: runtime.container.image is no", "4: runtime.container.port must be between 1 and 65535", "4: runtime.container.path must begin", "4: runtime.container.imagePullSecret is missing"}},
		{"command bare", "runtime: {command: {http: {path: ''}}}", []string{"4: runtime.command.exec is missing", "4: runtime.command.http.path must begin with /"}},
		{"command placeholders", `runtime: {command: {exec: "{shim}", args: ["{port}", "{state}", "{port:shim}", "{x}"], http: {}}}`,
			[]string{"4: runtime.command.exec: the only placeholder is {port}", "4: runtime.command.args: the only placeholder", "4: runtime.command.args: the only placeholder"}},
		{"zero byte", `runtime: {command: {exec: x, args: ["\0"], http: {}}}`, []string{"4: runtime.command.args holds a zero byte"}},
		{"long argument", `runtime: {command: {exec: x, args: [` + strings.Repeat("a", maxText+1) + `], http: {}}}`, []string{"4: runtime.command.args is longer than 64 KiB"}},
		{"many arguments", `runtime: {command: {exec: x, args: [` + strings.Repeat("a,", maxArgs+1) + `], http: {}}}`, []string{"4: runtime.command.args holds more than 1000"}},
		{"stdio", "runtime: {command: {exec: x}}\nstdio: {child: shared, max: 2}", nil},
		{"stdio bad", "runtime: {command: {exec: x}}\nstdio: {child: x, max: 0}", []string{"5: stdio.child must be session, shared", "5: stdio.max must be between 1 and 1000"}},
		{"stdio over http", http + "\nstdio: {}", []string{"5: stdio is for servers that speak it"}},

		{"env", http + "\nenv:\n- {name: _A1, value: x}\n- {name: B, secret: {key: a.b-c_d}}", nil},
		{"env names", http + "\nenv:\n- {name: hunter2=x, value: x}\n- {name: 1A, value: x}\n- {value: x}\n- {name: A, value: x}\n- {name: A, value: y}\n- {name: PORT, value: '1'}",
			[]string{"6: env.name must hold", "7: env.name must hold", "8: env.name is missing", `10: env: "A" is given twice`, "11: env: PORT is set by the gateway"}},
		{"env values", http + "\nenv:\n- {name: A}\n- {name: B, value: hunter2, secret: {key: x}}\n- {name: C, value: \"hunter2\\0\"}\n- {name: D, value: \"hunter2{listen}\"}",
			[]string{"6: env: exactly one of value and secret", "7: env: exactly one of value and secret", "8: env.value holds a zero byte", "9: env.value: the only placeholder"}},
		{"secret keys", http + "\nenv:\n- {name: A, secret: {key: ../hunter2}}\n- {name: B, secret: {key: .hunter2}}\n- {name: C, secret: {}}\n- {name: D, secret: {key: a/b}}",
			[]string{"6: env.secret.key is no key", "7: env.secret.key is no key", "8: env.secret.key is missing", "9: env.secret.key is no key"}},

		{"instances", http + "\ninstances: {per: user, max: 0, idleDelete: 1s}", []string{"5: instances.max must be between 1 and 100000", "5: instances.idleDelete must be between 1h0m0s and"}},
		{"instances of all", http + "\ninstances: {max: 3}", []string{"5: instances must say per: user"}},
		{"scale", http + "\nscale:\n  idle: 0s\n  max: 0\n  concurrency: 0",
			[]string{"6: scale.idle must be between 100ms and 24h0m0s", "7: scale.max must be between 1 and 1000", "8: scale.concurrency must be between 1 and 10000"}},
		{"copies and sessions", http + "\nscale: {max: 2}", []string{"5: scale.max above 1 needs sessions: none"}},
		{"copies", http + "\nscale: {max: 2}\nsessions: none", nil},
		{"startup", http + "\nstartup: {timeout: 1h}", []string{"5: startup.timeout must be between 100ms and 15m0s"}},
		{"choices", http + "\nsessions: x\nlisten: x\ndiscovery: ''\naudit: {bodies: x}",
			[]string{"5: sessions must be survive, strict, none", "6: listen must be poll, off, hold", "7: discovery must be live, cached", "8: audit.bodies must be metadata, none, full"}},
		{"audit", http + "\naudit: {bodies: full, maxBody: 262144, redact: ['$..token', \"$.params['api key']\"]}", nil},
		{"audit bounds", http + "\naudit: {bodies: full, maxBody: 1023, redact: ['token']}", []string{"5: audit.maxBody must be between 1024 and 262144", `5: audit.redact: "token": no path`}},
		{"audit of whole messages", http + "\naudit: {bodies: full, redact: ['$']}", []string{`5: audit.redact: "$": would take out whole messages`}},
		{"audit without bodies", http + "\naudit: {maxBody: 2048, redact: ['$.a']}", []string{"5: audit.maxBody needs bodies: full", "5: audit.redact needs bodies: full"}},
		{"audit without a sink", http + "\naudit: {required: true}", []string{"5: audit.required needs a sink to wait for"}},
		{"resources", http + "\nresources: {cpu: 0m, memory: 1GB}", []string{"5: resources.cpu must be a quantity", "5: resources.memory must be a quantity"}},
		{"resources of nothing", http + "\nresources: {cpu: '0.0', memory: ''}", []string{"5: resources.cpu must be a quantity", "5: resources.memory must be a quantity"}},
		{"resources good", http + "\nresources: {cpu: '0.5', memory: '1073741824'}", nil},

		{"egress of IPv4 as IPv6", http + "\negress: [{cidr: '::ffff:10.0.0.0/104', ports: [1]}]", []string{"5: egress.cidr: write the IPv4 network"}},
		{"egress", http + "\negress:\n- {cidr: 10.0.0.1/8, ports: [0, 65536]}\n- {ports: [1]}\n- {cidr: \"::/0\"}",
			[]string{"6: egress.cidr", "6: egress.ports must be", "6: egress.ports must be", "7: egress.cidr is missing", "8: egress.ports is missing"}},
		{"filters", http + "\nfilters: [f, g, f]", []string{`5: filters: there is no filter "g"`, `5: filters: "f" is named twice`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "apiVersion: v1\nservers:\n  - id: a\n    " + strings.ReplaceAll(tt.fields, "\n", "\n    ") +
				"\nfilters: [{name: f, mcp: {url: \"https://x.test\", tool: t}, on: [tools/call]}]\n"
			got := problemsOf(t, text, nil)
			checkLines(t, got, tt.want...)
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("%q repeats what may be a secret", got)
			}
		})
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "github": true, "a-1": true, "0": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a/b": false, "ä": false, "a_b": false, "a\n": false,
		strings.Repeat("a", 64): false,
	} {
		if ValidID(id) != want {
			t.Errorf("ValidID(%q) = %v", id, !want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"30s": "30s", "1h30m": "1h30m0s", "30d": "720h0m0s", "0s": "0s", "1.5s": "1.5s",
		"": "", "30": "", "-1s": "", "-1d": "", "1.5d": "", "d": "", "99999d": "", "1y": "", "9999999999h": "", "1d12h": "",
	} {
		d, err := ParseDuration(text)
		if err != nil && want != "" || err == nil && d.String() != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}
