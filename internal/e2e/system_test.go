package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/proxytest"
	"mcpgateway/internal/stdiotest"
	"mcpgateway/localstack/lambda"
)

// programs is the folder of the programs under test; TestMain builds them.
var programs string

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == hostileServer {
		serveHostile(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == filterServer {
		serveFilter(os.Args[2])
		return
	}
	if len(os.Args) == 2 && os.Args[1] == stdioServer {
		stdiotest.Serve("plain")
		return
	}
	if len(os.Args) == 3 && os.Args[1] == wishfulServer {
		serveWishful(os.Args[2])
	}
	if len(os.Args) == 5 && os.Args[1] == spyServer {
		runSpy(os.Args[2:])
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), taken) {
		runTaken()
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = dir
		for name, source := range map[string]string{"gateway": "functions/gateway", "deployer": "functions/deployer", "shim": "shim", "oauth": "functions/oauth", "sessions": "functions/sessions", "sample-server": "localstack/sample"} {
			if err == nil {
				var out []byte
				if out, err = exec.Command("go", "build", "-o", filepath.Join(dir, name), "mcpgateway/"+source).CombinedOutput(); err != nil {
					err = fmt.Errorf("build %s: %w\n%s", name, err, out)
				}
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// system is gateway, deployer and two issuers, as processes of their own but for the issuers.
type system struct {
	t        *testing.T
	deploys  []string // more variables
	dir, url string
	address  string
	main     *identitytest.Issuer
	partner  *identitytest.Issuer
	gateway  *proxytest.Process
	front    *lambda.Front // instead of it, where it is a function
	deployer *proxytest.Process
	oauth    *proxytest.Process // nil where the platform has none
	sessions *proxytest.Process // likewise
}

// idle is the idle time of all servers: the shortest that tests can tell from noise.
const idle = 1500 * time.Millisecond

func start(t *testing.T) *system {
	t.Helper()
	return startWith(t, "", "")
}

// startWith has more servers and policies in the catalog, as lines of YAML.
func startWith(t *testing.T, servers, policies string) *system {
	t.Helper()
	return startAs(t, layout{servers: servers, policies: policies})
}

// layout is what a test has besides what all have, as lines of YAML.
type layout struct {
	platform, servers, policies, issuers string            // in servers and policies, {dir} is the system's folder and {gateway} the gateway's port
	users                                string            // of servers: the deployer's SERVER_USERS
	shim                                 string            // another program than the shim
	secrets                              map[string]string // by path below the folder of secrets
	origin                               string            // the gateway's URL, where something is in front of it
	alone                                bool              // the catalog holds what is given here, and nothing else
	front                                *lambda.Config    // of the gateway, where it is to be a function; Function.Name and Program are filled in
}

func startAs(t *testing.T, l layout) *system {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e") // short: Unix sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, dir: dir, address: address, url: cmp.Or(l.origin, "http://"+address), main: identitytest.Listen(t, "main"), partner: identitytest.Listen(t, "partner")}
	if l.users != "" { // who must come to their homes, and to what they run
		s.deploys = append(s.deploys, "SERVER_USERS="+l.users)
		for folder, mode := range map[string]os.FileMode{programs: 0o711, dir: 0o711, filepath.Join(dir, "loot"): 0o777} {
			_ = os.Mkdir(folder, mode) // it is there, but for the loot
			if err := os.Chmod(folder, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	if l.shim != "" {
		s.deploys = append(s.deploys, "SHIM="+l.shim)
	}
	_, port, _ := strings.Cut(address, ":")
	places := strings.NewReplacer("{dir}", dir, "{gateway}", port)
	l.servers, l.policies = places.Replace(l.servers), places.Replace(l.policies)
	s.write("platform.yaml", fmt.Sprintf(`apiVersion: v1
publicURL: %s
issuers:
  - {name: main, url: %s, audiences: ["{resource}"], groupsClaim: groups, default: true}
  - {name: partner, url: %s, audiences: ["{resource}"], groupsClaim: groups}
%slimits: {callsPerSecond: 1000, burst: 1000, wakesPerMinute: 1000}
%s`, s.url, s.main.URL, s.partner.URL, l.issuers, l.platform))
	s.write("catalog.yaml", l.catalog())
	for name, value := range l.secrets {
		if err := os.MkdirAll(filepath.Join(s.dir, "secrets", filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		s.write(filepath.Join("secrets", name), value)
	}
	s.startDeployer()
	if l.front != nil {
		s.startFront(*l.front)
	} else {
		s.startGateway()
	}
	t.Cleanup(s.stop)
	return s
}

// catalog is what most tests need, and what a test adds to it.
func (l layout) catalog() string {
	if l.alone {
		return "apiVersion: v1\nservers:\n" + l.servers + "policies:\n" + l.policies
	}
	return fmt.Sprintf(`apiVersion: v1
servers:
  - {id: sample, title: Sample, runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: %[3]s}}
  - {id: other, title: Other, runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: %[3]s}}
  - {id: closed, title: Closed, runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: %[3]s}}
  - {id: mine, title: Mine, runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: %[3]s}, instances: {per: user, max: 5}}
  - {id: hostile, title: Hostile, runtime: {command: {exec: %[2]q, args: [%[4]s, "{port}"], http: {}}}, scale: {idle: %[3]s}}
%[5]spolicies:
  - {name: engineers, allow: {groups: [engineering]}, servers: [sample, other, mine, hostile]}
  - {name: no-notify, deny: {anyone: true}, servers: ["*"], tools: [notify]}
  - {name: sales, allow: {groups: [sales]}, servers: [sample], tools: [echo]}
%[6]s`, filepath.Join(programs, "sample-server"), os.Args[0], idle, hostileServer, l.servers, l.policies)
}

func (s *system) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) socket() string { return filepath.Join(s.dir, ".run", "deployer.sock") }

func (s *system) startDeployer() { s.deployer = s.start("deployer", "unix", s.socket()) }

func (s *system) startGateway() { s.gateway = s.start("gateway", "tcp", s.address) }

func (s *system) start(name, network, address string) *proxytest.Process {
	s.t.Helper()
	listen := s.address
	if network == "unix" {
		_ = os.Remove(address) // of a run that was killed: its presence must not pass for readiness
	} else {
		listen = address
	}
	p, err := proxytest.StartProcess(proxytest.Command{Path: filepath.Join(programs, name), Dir: s.dir, Log: filepath.Join(s.dir, name+".log"),
		Env: append([]string{"PLATFORM=" + filepath.Join(s.dir, "platform.yaml"), "LISTEN=" + listen}, s.deploys...)})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.Await(context.Background(), network, address); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// stop ends everything and looks whether anything is left.
func (s *system) stop() {
	if s.front != nil {
		s.front.Close()
	}
	for _, p := range []*proxytest.Process{s.gateway, s.oauth, s.deployer, s.sessions} {
		if p == nil {
			continue
		}
		if err := p.Stop(); err != nil {
			s.t.Error(err)
		}
	}
	if left := s.processes(""); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
	if s.t.Failed() {
		for _, log := range []string{"gateway.log", "deployer.log"} {
			b, _ := os.ReadFile(filepath.Join(s.dir, log))
			s.t.Logf("%s:\n%s", log, b[max(0, len(b)-4000):])
		}
	}
	_ = os.RemoveAll(s.dir)
}

// processes lists what runs of a program under test, of all but gateway and deployer where program is empty. This system's are
// those in its folder: what its deployer starts runs where that does.
func (s *system) processes(program string) (found []int) {
	if runtime.GOOS != "linux" {
		s.t.Skip("processes are counted in /proc, which only Linux has")
	}
	var apart []int
	for _, p := range []*proxytest.Process{s.gateway, s.oauth, s.sessions, s.deployer} {
		if p != nil {
			apart = append(apart, p.PID())
		}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		in, _ := os.Readlink(filepath.Join(dir, "cwd"))
		ours := in == s.dir && (filepath.Dir(exe) == programs || exe == os.Args[0])
		if !ours || slices.Contains(apart, pid) || s.front != nil && filepath.Base(exe) == "gateway" {
			continue
		}
		if program == "" || filepath.Base(exe) == program {
			found = append(found, pid)
		}
	}
	return found
}

// starts counts the groups that were started so far.
func (s *system) starts() int {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "deployer.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Count(string(b), `"msg":"starting"`)
}

func (s *system) status() []deploy.Status {
	s.t.Helper()
	list, err := deploy.NewClient(s.socket()).Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

func (s *system) eventually(what string, within time.Duration, holds func() bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) < within {
		if holds() {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("after %v still not: %s", within, what)
	return 0
}

func (s *system) resource(server string) string { return s.url + "/mcp-connect/" + server }

func (s *system) token(subject, server string, groups ...string) string {
	return s.main.Token(s.t, subject, s.resource(server), groups, nil)
}

// request is what a client sends; header is name, value, name, value, an empty value removes.
func (s *system) request(method, server, token, body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, s.resource(server), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			r.Host = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (s *system) do(r *http.Request) (*http.Response, string) {
	s.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

const (
	modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`
	initiated  = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// call makes a modern tools/call.
func (s *system) call(server, token, tool, arguments string) (*http.Response, string) {
	s.t.Helper()
	return s.do(s.callRequest(server, token, tool, arguments))
}

func (s *system) callRequest(server, token, tool, arguments string) *http.Request {
	return s.request("POST", server, token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`,`+modernMeta+`}}`,
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tool)
}

// session opens a legacy session and returns its id.
func (s *system) session(server, token string) string {
	s.t.Helper()
	resp, body := s.do(s.request("POST", server, token, initialize))
	id := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != 200 || id == "" {
		s.t.Fatalf("initialize: %d %s, session %q", resp.StatusCode, body, id)
	}
	if resp, body := s.do(s.request("POST", server, token, initiated, "Mcp-Session-Id", id)); resp.StatusCode != 202 {
		s.t.Fatalf("initialized: %d %s", resp.StatusCode, body)
	}
	return id
}

// kill ends a process as a crash would, and waits for its end.
func (s *system) kill(p *proxytest.Process) {
	s.t.Helper()
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	_ = p.Stop() // says that it ended by itself: that is what a crash is
}
