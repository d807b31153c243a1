package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/proxytest"
)

// editCatalog replaces the catalog by one that edit makes of it, whole.
func (s *system) editCatalog(edit func(string) string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "catalog.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("catalog.new", edit(string(text)))
	if err := os.Rename(path[:len(path)-len("yaml")]+"new", path); err != nil {
		s.t.Fatal(err)
	}
}

// with adds a server like sample, for everybody in engineering.
func with(catalog, id string) string {
	entry := strings.Replace(lineWith(catalog, "{id: sample,"), "id: sample", "id: "+id, 1)
	catalog = strings.Replace(catalog, "servers:\n", "servers:\n"+entry, 1)
	return strings.Replace(catalog, "servers: [sample, other,", "servers: ["+id+", sample, other,", 1)
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// logged counts lines of a program's log.
func (s *system) logged(program, part string) int {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, program+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Count(string(b), part)
}

// hangup has both programs read their files at once.
func (s *system) hangup() {
	s.t.Helper()
	for _, p := range []*proxytest.Process{s.gateway, s.deployer} {
		if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestServersComeAndGoWithoutRestart(t *testing.T) {
	s := start(t)
	added := s.token("alice", "added", engineering)
	if resp, _ := s.call("added", added, "echo", `{"message":"x"}`); resp.StatusCode != 403 {
		t.Fatalf("before it is there: %d", resp.StatusCode)
	}
	var before string
	s.editCatalog(func(c string) string { before = c; return with(c, "added") })
	took := s.eventually("the new server answers", 5*time.Second, func() bool {
		resp, body := s.call("added", added, "echo", `{"message":"hello"}`)
		if resp.StatusCode != 200 && resp.StatusCode != 403 {
			t.Fatalf("on the way: %d %s", resp.StatusCode, body)
		}
		return resp.StatusCode == 200 && strings.Contains(body, "hello")
	})
	t.Logf("a new server answered %v after it was written, cold start included", took.Round(time.Millisecond))

	s.editCatalog(func(string) string { return before })
	took = s.eventually("it is refused", 5*time.Second, func() bool {
		resp, _ := s.call("added", added, "echo", `{"message":"x"}`)
		return resp.StatusCode == 403
	})
	ended := s.eventually("its instance is gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	t.Logf("a removed server was refused after %v, and its processes were gone %v later", took.Round(time.Millisecond), ended.Round(time.Millisecond))
}

func TestMistakeKeepsTheOldCatalog(t *testing.T) {
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	var good string
	s.editCatalog(func(c string) string { good = c; return c + "  - {name: x, alow: {anyone: true}, servers: [sample]}\n" })
	line := strings.Count(good, "\n") + 1
	for _, program := range []string{"gateway", "deployer"} {
		s.eventually(program+" says what is wrong", 5*time.Second, func() bool { return s.logged(program, "the old version stays in force") > 0 })
		if s.logged(program, fmt.Sprintf(`catalog.yaml:%d: unknown field \"policies.alow\"`, line)) != 1 {
			t.Errorf("%s does not name the line", program)
		}
	}
	if resp, body := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Errorf("a call by the old version: %d %s", resp.StatusCode, body)
	}
	ready, err := http.Get(s.url + "/readyz")
	if err != nil || ready.StatusCode != 200 {
		t.Errorf("not ready: %v, %v", ready, err)
	}
	ready.Body.Close()
	s.editCatalog(func(string) string { return with(good, "added") })
	s.eventually("the mended version is in force", 5*time.Second, func() bool {
		resp, _ := s.call("added", s.token("alice", "added", engineering), "echo", `{"message":"x"}`)
		return resp.StatusCode == 200
	})
	for _, program := range []string{"gateway", "deployer"} {
		if n := s.logged(program, "the old version stays in force"); n != 1 {
			t.Errorf("%s said it %d times", program, n)
		}
	}
}

// Calls and a listener go on while the catalog is replaced again and again, also by versions that have the server itself
// in another shape, so that its instance is replaced under them.
func TestReloadDropsNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	session := s.session("other", s.token("alice", "other", engineering))
	listener, err := http.DefaultTransport.RoundTrip(s.request("GET", "other", s.token("alice", "other", engineering), "", "Mcp-Session-Id", session))
	if err != nil || listener.StatusCode != 200 {
		t.Fatalf("listen: %v, %v", listener, err)
	}
	defer listener.Body.Close()
	ended := make(chan error, 1)
	go func() { _, err := listener.Body.Read(make([]byte, 1<<16)); ended <- err }()

	var calls, cold atomic.Int32
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond): // below the limit of calls a second
				}
				resp, body := s.call("sample", alice, "echo", `{"message":"x"}`)
				if resp.StatusCode != 200 {
					t.Errorf("after %d calls: %d %s", calls.Load(), resp.StatusCode, body)
					return
				}
				calls.Add(1)
				if strings.Contains(resp.Header.Get("Server-Timing"), "wake") {
					cold.Add(1)
				}
			}
		})
	}
	var good string
	for i := range 20 {
		force := s.logged("gateway", `"msg":"documents in force"`)
		s.editCatalog(func(c string) string {
			if good == "" {
				good = c
			}
			changed := with(good, fmt.Sprintf("more-%d", i))
			if i%4 < 2 { // another plan: the instance is replaced
				changed = strings.Replace(changed, "id: sample, title: Sample,", fmt.Sprintf("id: sample, title: Sample, env: [{name: VERSION, value: \"%d\"}],", i), 1)
			}
			return changed
		})
		if i%2 == 0 {
			s.hangup()
		}
		s.eventually("the gateway took it", 10*time.Second, func() bool { return s.logged("gateway", `"msg":"documents in force"`) > force })
	}
	close(done)
	all.Wait()
	t.Logf("%d calls during 20 versions, %d of them waited for a new instance, %d starts", calls.Load(), cold.Load(), s.starts())
	if calls.Load() < 100 || s.starts() < 5 {
		t.Errorf("too little happened to prove anything")
	}
	select {
	case err := <-ended:
		t.Errorf("the listener ended: %v", err)
	default:
	}
}

func TestRevokedListenerEnds(t *testing.T) {
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	open := func(token, session string) <-chan error {
		resp, err := http.DefaultTransport.RoundTrip(s.request("GET", "sample", token, "", "Mcp-Session-Id", session))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("listen: %v, %v", resp, err)
		}
		ended := make(chan error, 1)
		t.Cleanup(func() { resp.Body.Close() })
		go func() {
			for {
				if _, err := resp.Body.Read(make([]byte, 1<<16)); err != nil {
					ended <- err
					return
				}
			}
		}()
		return ended
	}
	bob := s.token("bob", "sample", "sales")
	revoked, stays := open(alice, s.session("sample", alice)), open(bob, s.session("sample", bob))
	s.editCatalog(func(c string) string { return c + "  - {name: out, deny: {users: [alice]}, servers: [\"*\"]}\n" })
	began := time.Now()
	select {
	case <-revoked:
		t.Logf("ended %v after the policy was written", time.Since(began).Round(time.Millisecond))
	case <-time.After(10 * time.Second):
		t.Fatal("a revoked caller goes on listening")
	}
	select {
	case err := <-stays:
		t.Errorf("another listener ended: %v", err)
	case <-time.After(2 * time.Second):
	}
	if resp, _ := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 403 {
		t.Errorf("and may call: %d", resp.StatusCode)
	}
}

// The list is what the caller may use, by the version in force, and each address in it answers.
func TestRegistryOfRealPrograms(t *testing.T) {
	s := start(t)
	list := func(subject string, groups ...string) (int, string) {
		r := s.request("GET", "x", s.main.Token(t, subject, s.url, groups, nil), "", "Content-Type", "")
		r.URL.Path = "/v0.1/servers"
		resp, body := s.do(r)
		return resp.StatusCode, body
	}
	if code, body := list("bob", "sales"); code != 200 || !strings.Contains(body, `"metadata":{"count":1}`) || !strings.Contains(body, `"url":"`+s.resource("sample")+`"`) {
		t.Errorf("bob's list: %d %s", code, body)
	}
	if code, body := list("alice", engineering); code != 200 || !strings.Contains(body, `"metadata":{"count":4}`) || strings.Contains(body, "closed") {
		t.Errorf("alice's list: %d %s", code, body)
	}
	s.editCatalog(func(c string) string { return with(c, "added") })
	s.eventually("the new server is listed", 5*time.Second, func() bool {
		_, body := list("alice", engineering)
		return strings.Contains(body, s.resource("added"))
	})
	if resp, body := s.call("added", s.token("alice", "added", engineering), "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Errorf("what is listed answers %d %s", resp.StatusCode, body)
	}
	if n := s.starts(); n != 1 {
		t.Errorf("%d starts: a list wakes nothing", n)
	}
}
