package catalog

import (
	"testing"
)

func TestRemoteChecks(t *testing.T) {
	const (
		private  = "\n    egress: [{cidr: 10.0.0.0/8, ports: [80, 443, 8080]}]"
		loopback = "\n    egress: [{cidr: 127.0.0.1/32, ports: [8080]}, {cidr: '::1/128', ports: [8080]}]"
		public   = "\n    egress: [{cidr: 140.82.112.0/20, ports: [443]}]"
		all      = "\n    egress: [{cidr: 0.0.0.0/0, ports: [443, 8080]}]"
	)
	for _, c := range []struct {
		url, fields string
		want        []string // from line 4, which holds the URL, on
	}{
		{"https://mcp.example.com/mcp", "", nil},
		{"https://mcp.example.com:8443", "", nil},
		{"https://1.1.1.1/mcp", "", nil},
		{"https://[2606:4700::1111]/mcp", "", nil},
		{"https://mcp.example.com/mcp", public, nil},
		{"https://140.82.112.1/mcp", public, nil},
		{"https://mcp.example.com/mcp", all, nil},
		{"https://mcp.internal/mcp", private, nil},
		{"https://10.1.2.3/mcp", private, nil},
		{"http://mcp.internal/mcp", private, nil},
		{"http://10.1.2.3:8080/mcp", private, nil},
		{"http://127.0.0.1:8080/mcp", loopback, nil},
		{"http://localhost:8080/mcp", loopback, nil},
		{"http://[::1]:8080/mcp", loopback, nil},

		{"", "", []string{"4: runtime.remote.url is missing"}},
		{"ftp://mcp.example.com/", "", []string{"4: runtime.remote.url must begin with https"}},
		{"mcp.example.com", "", []string{"4: runtime.remote.url is no URL"}},
		{"https://u:hunter2@mcp.example.com/", "", []string{"4: runtime.remote.url must hold no user"}},
		{"https://mcp.example.com/?key=hunter2", "", []string{"4: runtime.remote.url must hold no query"}},
		{"http://u:hunter2@10.1.2.3/", private, []string{"4: runtime.remote.url must hold no user"}},
		{"http://mcp.example.com/", "", []string{"4: runtime.remote.url: http:// is plain text"}},
		{"HTTP://127.0.0.1:8080/", "", []string{"4: runtime.remote.url: http:// is plain text"}},
		{"HTTP://127.0.0.1:443/", public, []string{"5: egress.cidr 140.82.112.0/20 has public addresses"}},
		{"http://127.0.0.1:8080/", "", []string{"4: runtime.remote.url: http:// is plain text"}},
		{"http://mcp.example.com/", public, []string{"5: egress.cidr 140.82.112.0/20 has public addresses"}},
		{"http://mcp.example.com/", all, []string{"5: egress.cidr 0.0.0.0/0 has public addresses"}},
		{"https://127.0.0.1:8080/", "", []string{"4: runtime.remote.url: 127.0.0.1:8080 is a loopback address"}},
		{"https://169.254.169.254/", "", []string{"4: runtime.remote.url: 169.254.169.254:443 is a cloud's metadata address"}},
		{"https://[::ffff:169.254.169.254]/", "", []string{"4: runtime.remote.url: [::ffff:169.254.169.254]:443 is a cloud's metadata address"}},
		{"https://[64:ff9b::a9fe:a9fe]/", "", []string{"4: runtime.remote.url: [64:ff9b::a9fe:a9fe]:443 is a cloud's metadata address"}},
		{"https://10.1.2.3/", "", []string{"4: runtime.remote.url: 10.1.2.3:443 is a private address"}},
		{"https://10.1.2.3/", all, []string{"4: runtime.remote.url: 10.1.2.3:443 is a private address"}},
		{"https://11.1.2.3/", private, []string{"4: runtime.remote.url: 11.1.2.3:443 is not named in egress"}},
		{"https://mcp.internal:9000/", private, []string{"5: egress names no network at port 9000"}},
		{"http://localhost/", loopback, []string{"5: egress names no network at port 80"}},
		{"https://[fe80::1%25eth0]/", "", []string{"4: runtime.remote.url holds no valid host"}},
		{"https://0x7f.1/", "", []string{"4: runtime.remote.url holds no valid host: write an address"}},
		{"https://127.1/", "", []string{"4: runtime.remote.url holds no valid host: write an address"}},
		{"https://2130706433/", "", []string{"4: runtime.remote.url holds no valid host: write an address"}},
		{"https://0177.0.0.1/", "", []string{"4: runtime.remote.url holds no valid host: write an address"}},
		{"https://127.0.0.1./", "", []string{"4: runtime.remote.url holds no valid host"}},
		{"https://localhost./", "", []string{"4: runtime.remote.url holds no valid host"}},
		{"https://mcp.example.com:0/", "", []string{"4: runtime.remote.url holds no valid port"}},

		{"https://mcp.example.com/", "\n    env: [{name: A, value: hunter2}]", []string{"5: env is not for a remote server"}},
		{"https://mcp.example.com/", "\n    stdio: {}", []string{"5: stdio is for servers that speak it"}},
		{"https://mcp.example.com/", "\n    egress: [{cidr: 10.0.0.1/8, ports: [443]}]", []string{"5: egress.cidr: \"10.0.0.1/8\" is no network"}},
		{"https://mcp.example.com/", "\n    egress: [{cidr: 10.0.0.0/8}]", []string{"5: egress.ports is missing"}},
	} {
		for _, table := range [][]unbuilt{nil, catalogUnbuilt} {
			if table != nil && c.want != nil {
				continue
			}
			got := problemsOf(t, "apiVersion: v1\nservers:\n  - id: a\n    runtime: {remote: {url: '"+c.url+"'}}"+c.fields+"\n", table)
			before := t.Failed()
			checkLines(t, got, c.want...)
			if !before && t.Failed() {
				t.Fatalf("%s%s", c.url, c.fields)
			}
		}
	}
}
