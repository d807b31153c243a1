package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exchangedToken is what the spy's server may have: it was made for it.
const exchangedToken = "exchanged-for-the-spy"

// notary is a webhook and a token endpoint. It keeps what was rightly signed.
type notary struct {
	port string

	mu         sync.Mutex
	signed     []string // bodies
	signatures []string
}

func newNotary(t *testing.T) *notary {
	t.Helper()
	n := &notary{}
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	_, n.port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return n
}

func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/token" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"`+exchangedToken+`","token_type":"Bearer","expires_in":300,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`)
		return
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, r.Header.Get("webhook-id")+"."+r.Header.Get("webhook-timestamp")+"."+string(body))
	if signature := r.Header.Get("webhook-signature"); signature == "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)) {
		n.mu.Lock()
		n.signed, n.signatures = append(n.signed, string(body)), append(n.signatures, signature)
		n.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

// A server that does what it can to get at its shim, at filters and at another server gets nothing: neither while they
// run, nor while its shim is gone, nor from the next one.
func TestHostileServerGainsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("servers get users of their own from a deployer that runs as root, which these tests do not")
	}
	n := newNotary(t)
	s := startSpied(t, n)
	victim := s.token("alice", "victim", engineering)
	if resp, body := s.call("victim", victim, "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
		t.Fatalf("the victim does not run: %d %s", resp.StatusCode, body)
	}
	secrets := map[string]string{"the key of webhooks": hookSecret, "the bytes of that key": strings.TrimPrefix(hookSecret, "whsec_"),
		"the client's secret": "password-of-the-exchange-client", "another server's secret": "api-key-of-the-victim"}
	secret := func(name, token string) {
		secrets["the token for "+name], secrets["its signature, "+name] = token, token[strings.LastIndex(token, ".")+1:]
	}
	secret("victim", victim)
	// Also of a test that broke off: a system that a spy took over does not go on.
	defer func() { s.checkLoot(secrets); n.check(t, s) }()
	for _, id := range []string{"spied", "piped"} {
		token := s.token("alice", id, engineering)
		secret(id, token)
		s.crash(id, token)
	}
	for _, path := range []string{".run/rules.key", "secrets/spied-shim/seal", "secrets/piped-shim/seal"} {
		text, err := os.ReadFile(filepath.Join(s.dir, path))
		if err != nil || len(text) == 0 {
			t.Errorf("%d bytes, %v: nothing to look for", len(text), err)
		}
		secrets[path] = string(text)
	}
}

// check looks for what spies had signed, and for signatures in what they got.
func (n *notary) check(t *testing.T, s *system) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.signed) == 0 {
		t.Error("no filter was asked")
	}
	for i, body := range n.signed {
		if strings.Contains(body, madeUp) {
			t.Errorf("a spy had this signed: %s", body)
		}
		if slices.ContainsFunc(s.loot(""), func(a attempt) bool { return bytes.Contains(a.Got, []byte(n.signatures[i])) }) {
			t.Errorf("a spy got the signature of %s", body)
		}
	}
}

// startSpied is the system with a spy that speaks HTTP, one that speaks stdio, and a victim.
func startSpied(t *testing.T, n *notary) *system {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil { // beside the others, since the folder of test programs is closed to users
		err = os.WriteFile(filepath.Join(programs, "spy"), self, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	loopback := `egress: [{cidr: 127.0.0.1/32, ports: [` + n.port + `]}]`
	command := fmt.Sprintf(`scale: {idle: 60s}, filters: [notary], runtime: {command: {exec: %s, args: [%s, "{dir}", "{gateway},`+n.port+`"`, filepath.Join(programs, "spy"), spyServer)
	return startAs(t, layout{
		users: "2000000000-2000000099",
		servers: `  - {id: spied, token: {exchange: {url: "http://127.0.0.1:` + n.port + `/token", ` + loopback + `, client: {id: shim, secret: {key: exchange}}}}, ` + command + `, "{port}"], http: {}}}}
  - {id: piped, ` + command + `, "-"]}}}
  - {id: victim, scale: {idle: 60s}, env: [{name: API_KEY, secret: {key: api}}], runtime: {command: {exec: ` + filepath.Join(programs, "sample-server") + `, args: [-addr, "127.0.0.1:{port}"], http: {}}}}
`,
		policies: `  - {name: spies, allow: {groups: [engineering]}, servers: [spied, piped, victim]}
filters:
  - {name: notary, webhook: {url: "http://127.0.0.1:` + n.port + `/hook", secret: {key: hook}, ` + loopback + `}, on: ["tools/call"], timeout: 5s}
`,
		secrets: map[string]string{"spied-shim/hook": hookSecret, "piped-shim/hook": hookSecret, "victim-server/api": "api-key-of-the-victim",
			"spied-shim/exchange": "password-of-the-exchange-client"},
	})
}

// crash calls a spy, kills its shim, and calls it again.
func (s *system) crash(id, token string) {
	s.t.Helper()
	call := func() (int, string) {
		if id == "spied" {
			resp, body := s.call(id, token, "x", `{}`)
			return resp.StatusCode, body
		}
		resp, body := s.do(s.request("POST", id, token, initialize))
		if resp.StatusCode != 200 {
			return resp.StatusCode, body
		}
		resp, body = s.do(s.request("POST", id, token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, "Mcp-Session-Id", resp.Header.Get("Mcp-Session-Id")))
		return resp.StatusCode, body
	}
	if status, body := call(); status != 200 {
		s.t.Fatalf("%s: %d %s", id, status, body)
	}
	first := s.instance(id, "")
	s.awaitRound(id, first, spyRuns)
	for _, pid := range s.processes("shim") {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(environment, []byte("SHIM_SERVER="+id+"\x00")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.awaitRound(id, first, spyEnds)
	s.eventually(id+" runs again", 30*time.Second, func() bool { status, _ := call(); return status == 200 })
	s.awaitRound(id, s.instance(id, first), spyRuns)
}

// instance is that of a server, and not an older one, which may still be about to end.
func (s *system) instance(id, older string) string {
	s.t.Helper()
	for _, status := range s.status() {
		if status.Key.Server == id && status.ID != older {
			return status.ID
		}
	}
	s.t.Fatalf("no instance of %s runs but %q", id, older)
	return ""
}

// loot is what an instance's spies wrote down, all of them where instance is empty.
func (s *system) loot(instance string) (attempts []attempt) {
	s.t.Helper()
	paths, _ := filepath.Glob(filepath.Join(s.dir, "loot", instance+"*"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var a attempt
			if json.Unmarshal(line, &a) == nil { // the last may be half there
				attempts = append(attempts, a)
			}
		}
	}
	return attempts
}

func (s *system) awaitRound(id, instance, phase string) {
	s.t.Helper()
	s.eventually("the spy of "+id+" has tried everything while it "+phase, 60*time.Second, func() bool {
		return slices.ContainsFunc(s.loot(instance), func(a attempt) bool { return a.What == "round" && a.Phase == phase })
	})
}

// checkLoot looks for secrets in what spies got, and whether they tried at all.
func (s *system) checkLoot(secrets map[string]string) {
	s.t.Helper()
	tried, got, stolen := map[string]int{}, map[string]int{}, map[string]int{}
	for _, a := range s.loot("") {
		for _, kind := range []string{a.What, a.What + " " + a.Phase, a.What + " " + filepath.Base(a.Target)} {
			tried[kind]++
			if a.Denied == "" {
				got[kind]++
			}
		}
		for name, secret := range secrets {
			if bytes.Contains(a.Got, []byte(secret)) {
				stolen[name+" by "+a.What]++
			}
		}
	}
	for how, n := range stolen {
		s.t.Errorf("a spy got %s, %d times", how, n)
	}
	for _, kind := range []string{"bind runs", "bind ends", "bind shim.sock", "bind v1.sock", "unix runs", "unix ends", "unix shim.sock", "unix v1.sock", "tcp runs",
		"file rules.key", "file hook", "file seal", "file exchange", "file api", "folder runs", "folder ends", "proc environ", "proc mem", "proc fd", "proc maps"} {
		s.t.Logf("%-16s tried %d times, got %d", kind, tried[kind], got[kind])
		if tried[kind] == 0 {
			s.t.Errorf("no spy tried: %s", kind)
		}
	}
	for _, kind := range []string{"bind", "unix", "file rules.key", "file hook", "file seal", "file exchange", "file api"} {
		if got[kind] > 0 {
			s.t.Errorf("spies came through %d times of %d: %s", got[kind], tried[kind], kind)
		}
	}
	for _, kind := range []string{"environ", "tcp", "serve"} {
		if got[kind] == 0 {
			s.t.Errorf("spies did not even get what is theirs: %s", kind)
		}
	}
}

// A server that ran as root is started anew as a user of its own once the deployer is told to, without any right of root.
func TestServersMoveToUsersOfTheirOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("servers get users of their own from a deployer that runs as root, which these tests do not")
	}
	s := startWith(t, `  - {id: moved, scale: {idle: 60s}, runtime: {command: {exec: `+filepath.Join(programs, "sample-server")+`, args: [-addr, "127.0.0.1:{port}"], http: {}}}}
`, "  - {name: movers, allow: {groups: [engineering]}, servers: [moved]}\n")
	alice := s.token("alice", "moved", engineering)
	status := func() string {
		t.Helper()
		if resp, body := s.call("moved", alice, "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		pids := s.processes("sample-server")
		if len(pids) == 0 {
			t.Fatal("no server runs")
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", slices.Max(pids)))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
	if before := status(); !strings.Contains(before, "Uid: 0 0 0 0") {
		t.Errorf("not root at first: %s", before)
	}
	s.kill(s.deployer)
	for _, folder := range []string{programs, s.dir} {
		if err := os.Chmod(folder, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	s.deploys = []string{"SERVER_USERS=2000000000-2000000000"}
	s.startDeployer()
	s.eventually("the old one is gone", 20*time.Second, func() bool { return len(s.processes("sample-server")) == 0 })
	after := status()
	for _, want := range []string{"Uid: 2000000000 2000000000 2000000000 2000000000", "Gid: 2000000000 2000000000 2000000000 2000000000", "Groups: NStgid:", "NoNewPrivs: 1",
		"CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000"} {
		if !strings.Contains(after, want) {
			t.Errorf("the server lacks %q: %s", want, after)
		}
	}
}

// taken- begins the name under which the test program is a shim that finds its address taken: by a listener that it holds
// itself, and that nobody can take away.
const taken = "taken-"

// runTaken takes the address of the role that its name says, and becomes the shim.
func runTaken() {
	if role := strings.TrimPrefix(filepath.Base(os.Args[0]), taken); os.Args[1] == role {
		l, err := net.Listen("unix", strings.TrimPrefix(os.Getenv("SHIM_LISTEN"), "unix:"))
		if err != nil {
			panic(err)
		}
		f, err := l.(*net.UnixListener).File()
		if err != nil {
			panic(err)
		}
		if _, _, bad := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); bad != 0 { // goes on in the shim
			panic(bad)
		}
	}
	shim := filepath.Join(filepath.Dir(os.Args[0]), "shim")
	panic(syscall.Exec(shim, append([]string{shim}, os.Args[1:]...), os.Environ()))
}

// A shim, or a converter, whose address is another's ends: nobody is served, and no message is looked at.
func TestAddressIsTaken(t *testing.T) {
	for _, role := range []string{"proxy", "webhook"} {
		t.Run(role, func(t *testing.T) {
			self, err := os.Executable()
			if err == nil {
				err = os.Symlink(self, filepath.Join(programs, taken+role))
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(filepath.Join(programs, taken+role)) })
			n := newNotary(t)
			s := startAs(t, layout{shim: filepath.Join(programs, taken+role), servers: `  - {id: guarded, scale: {idle: 60s}, filters: [notary], startup: {timeout: 20s}, runtime: {command: {exec: ` +
				filepath.Join(programs, "sample-server") + `, args: [-addr, "127.0.0.1:{port}"], http: {}}}}
`,
				policies: `  - {name: guards, allow: {groups: [engineering]}, servers: [guarded]}
filters:
  - {name: notary, webhook: {url: "http://127.0.0.1:` + n.port + `/hook", secret: {key: hook}, egress: [{cidr: 127.0.0.1/32, ports: [` + n.port + `]}]}, on: ["tools/call"]}
`,
				secrets: map[string]string{"guarded-shim/hook": hookSecret}})
			// Before the converter has ended, the shim may take the taker for it: then it waits for a verdict in vain.
			resp, body := s.call("guarded", s.token("alice", "guarded", engineering), "echo", `{"message":"hello"}`)
			if refused := strings.Contains(body, "stopped while it was starting"); !refused && (role == "proxy" || !strings.Contains(body, "A filter could not check this")) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			s.eventually("the log says why the group ended", 20*time.Second, func() bool {
				log, err := os.ReadFile(filepath.Join(s.dir, "deployer.log"))
				return err == nil && bytes.Contains(log, []byte("another program serves on"))
			})
			if len(n.signed) != 0 {
				t.Errorf("looked at: %v", n.signed)
			}
		})
	}
}
