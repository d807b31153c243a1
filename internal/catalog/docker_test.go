package catalog

import (
	"strings"
	"testing"
)

func TestDockerChecks(t *testing.T) {
	for name, tt := range map[string]struct {
		deployer string
		want     []string
	}{
		"nothing given": {"{docker: {}}", nil},
		"all given": {`{docker: {engine: "unix:///run/docker.sock", address: host.docker.internal, lock: x.lock,
  images: {node: "node:22-slim", python: "python:3.13-slim"}}}`, nil},
		"tcp":            {`{docker: {engine: "tcp://10.0.0.1:2376"}}`, nil},
		"no address":     {"{docker: {engine: /run/docker.sock}}", []string{"5: deployer.docker.engine must be unix"}},
		"another scheme": {`{docker: {engine: "ssh://me@there"}}`, []string{"5: deployer.docker.engine must be unix"}},
		"a port":         {`{docker: {address: "127.0.0.1:80"}}`, []string{"5: deployer.docker.address must be"}},
		"empty address":  {`{docker: {address: ""}}`, []string{"5: deployer.docker.address must be"}},
		"empty lock":     {`{docker: {lock: ""}}`, []string{"5: deployer.docker.lock is empty"}},
		"no reference":   {`{docker: {images: {node: "-x", python: " "}}}`, []string{"5: deployer.docker.images.node is no image", "5: deployer.docker.images.python is no image"}},
		"a function":     {"{docker: {}, function: deployer}", []string{"5: deployer.function is for a cluster"}},
		"a URL":          {`{docker: {}, url: "http://deployer"}`, []string{"5: deployer.url is for a cluster"}},
		"unknown":        {"{docker: {socket: x}}", []string{"5: unknown field"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(goodPlatform + "deployer: " + tt.deployer + "\n")
			d := newDocument("/etc/p.yaml", text)
			p := parsePlatform(d)
			got := lines(collect(d))
			checkLines(t, got, tt.want...)
			if len(tt.want) == 0 && !strings.HasSuffix(p.Deployer.Docker.Lock, ".lock") {
				t.Errorf("the lock file is %q", p.Deployer.Docker.Lock)
			}
		})
	}
}

// An engine runs images and programs, and holds no server to an egress.
func TestServersOfAnEngine(t *testing.T) {
	const image = "a, runtime: {container: {image: i, port: 80}}"
	for fields, want := range map[string][]string{
		image: nil,
		"a, runtime: {command: {exec: x, http: {}}}":                                                                       nil,
		"a, runtime: {npx: {package: x@1.2.3}}":                                                                            nil,
		"a, runtime: {container: {image: i, port: 80, imagePullSecret: s}}":                                                {"2: runtime.container.imagePullSecret on one machine is not built yet"},
		image + ", egress: [{cidr: 140.82.112.0/20, ports: [443]}]":                                                        {"2: egress without runtime.remote on one machine is not built yet"},
		image + ", instances: {per: user, idleDelete: 30d}":                                                                {"2: instances.idleDelete on one machine is not built yet"},
		"a, runtime: {npx: {package: x@1.2.3}}, token: {exchange: {url: 'https://x.test/t', client: {id: c, auth: none}}}": {"2: token for a server that speaks stdio is not built yet"},
	} {
		p := *testPlatform
		p.Deployer.Docker = &Docker{}
		text := "apiVersion: v1\nservers: [{id: " + fields + "}]\n"
		_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, &p, checkTestCondition, unbuiltFor(&p))
		t.Run(fields, func(t *testing.T) { checkLines(t, lines(problems), want...) })
	}
}
