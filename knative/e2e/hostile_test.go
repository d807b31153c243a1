package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mcpgateway/knative/e2e/loot"
)

// spied is an entry with a spy, which takes ports of others once they are free.
func spied(id, ports, more string) string {
	return fmt.Sprintf("  - {id: %[1]s, title: Spy, runtime: {container: {image: %[2]s, port: 8090, args: [-serve, \"127.0.0.1:8090\", -server, %[1]s, -take, %[3]q]}}, scale: {idle: %[4]v}%[5]s}\n",
		id, spyImage, ports, 10*window, more)
}

const (
	hookSecret = "key-of-the-webhook"
	apiSecret  = "api-key-of-the-victim"
)

// A server that does what it can to get at its shim, at a filter, at the node and at the cluster gets nothing: neither while
// they run, nor when its shim has crashed and it sits at the shim's port.
func TestHostileServerGainsNothing(t *testing.T) {
	s := start(t, documents{servers: spied("spied", ":8080", ", filters: [notary]") +
		sample("victim", ", env: [{name: API_KEY, secret: {key: api}}]"),
		policies: everybody + "filters:\n  - {name: notary, webhook: {url: \"https://hooks.example.com/hook\", secret: {key: hook}, egress: [{cidr: 192.0.2.0/24, ports: [443]}]}, on: [\"prompts/get\"]}\n"})
	t.Cleanup(func() { s.evict("spied") })
	s.secret("mcp-spied-shim", "hook", hookSecret)
	s.makeSecret("mcp-victim-server", "victim", "api", apiSecret)
	token := s.token("alice", "spied")
	if a := s.echo("victim", s.token("alice", "victim"), "x"); !a.echoes("x") {
		t.Fatalf("the victim: %v", a)
	}
	if a := s.echo("spied", token, "x"); a.status != http.StatusOK || !strings.Contains(a.body, "served") {
		t.Fatalf("the spy: %v", a)
	}
	began := s.rounds("spied") // the one under way may have passed a door that nobody had opened yet
	s.eventually("it has tried everything", 2*time.Minute, func() bool { return s.rounds("spied") >= began+2 })
	secrets := s.secrets("spied", token)
	defer func() { s.checkLoot("spied", secrets) }()
	s.checkAttempts("spied")

	pod := s.pods("spied")[0].Name
	s.killShim("spied")
	s.awaitLoot("spied", "it has taken the shim's port", func(a loot.Attempt) bool { return a.What == loot.Bind && a.Denied == "" })
	s.besiege("spied", pod, token)
}

// A shim that finds its port taken from the start ends, and the pod does not become ready.
func TestPortIsTaken(t *testing.T) {
	s := start(t, documents{servers: spied("taken", ":8080", "") + spied("queue", ":8012,:8112", ""), policies: everybody})
	for id, how := range map[string]func(){
		"taken": func() { // before the shim was ever ready
			for !slices.ContainsFunc(s.loot("taken"), func(a loot.Attempt) bool { return a.What == loot.Bind && a.Denied == "" }) {
				s.shims("taken", func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) })
			}
		},
		// Knative's own port: queue-proxy is the last container to start (serving 0.50, resources/deploy.go).
		"queue": func() {},
	} {
		t.Run(id, func(t *testing.T) {
			t.Cleanup(func() { s.evict(id) })
			token := s.token("alice", id)
			called := make(chan answer, 1)
			go func() { called <- s.echo(id, token, "x") }()
			s.eventually("there is a pod", 30*time.Second, func() bool { return len(s.pods(id)) == 1 })
			how()
			s.awaitLoot(id, "it has taken a port", func(a loot.Attempt) bool { return a.What == loot.Bind && a.Denied == "" })
			s.besiege(id, s.pods(id)[0].Name, token)
			first := <-called
			served := id == "taken" && first.status == 200 && strings.Contains(first.body, `"served"`) // by a shim that was faster than its end
			if first.status < 500 && !served || strings.Contains(first.body, loot.Impostor) {
				t.Errorf("the first call: %v", first)
			}
			s.checkLoot(id, s.secrets(id, token))
		})
	}
}

// besiege calls a server whose pod's way in the spy has taken. The pod must not be ready, and what the spy answers, which
// Knative does send calls to, must not pass for the shim's.
func (s *system) besiege(id, pod, token string) {
	s.t.Helper()
	s.eventually("the pod is not ready", 20*time.Second, func() bool { return !s.ready(pod) })
	for range 12 {
		if a := s.echo(id, token, "x"); a.status < 500 || strings.Contains(a.body, loot.Impostor) {
			s.t.Errorf("%s: %v", id, a)
		}
		if s.ready(pod) {
			s.t.Errorf("pod %s is ready", pod)
		}
		time.Sleep(time.Second)
	}
	stolen := 0
	for _, a := range s.loot(id) {
		if a.What == loot.Stolen {
			stolen++
		}
	}
	if s.t.Logf("%s: %d calls reached the spy in the shim's place", id, stolen); stolen == 0 {
		s.t.Errorf("%s: none reached it, so that nothing is shown", id)
	}
}

// evict takes a server out of the cluster at once. It would hear no signal, and keep a processor busy for as long as a pod may
// take to end.
func (s *system) evict(id string) {
	s.t.Helper()
	if err := s.knative.ServingV1().Services(namespace).Delete(context.Background(), "mcp-"+id, metav1.DeleteOptions{}); err != nil {
		s.t.Error(err)
	}
	s.eventually("its pod is told to end", time.Minute, func() bool { return len(s.pods(id)) == 0 })
	processes("/bin/mcp-spy\x00", "\x00-server\x00"+id+"\x00", func(pid int, _ []byte) { _ = syscall.Kill(pid, syscall.SIGKILL) })
}

func (s *system) ready(pod string) bool {
	p, err := s.kube.CoreV1().Pods(namespace).Get(context.Background(), pod, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// secret adds a key to a store that the deployer makes.
func (s *system) secret(store, key, value string) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"stringData":{%q:%q}}`, key, value)
	s.eventually(store+" is made", 30*time.Second, func() bool {
		_, err := s.kube.CoreV1().Secrets(namespace).Patch(context.Background(), store, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err == nil
	})
}

func (s *system) makeSecret(store, server, key, value string) {
	s.t.Helper()
	labels := map[string]string{"app.kubernetes.io/managed-by": "mcpgateway", "mcpgateway.dev/server": server}
	_, err := s.kube.CoreV1().Secrets(namespace).Create(context.Background(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: store, Labels: labels}, StringData: map[string]string{key: value}}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// secrets are what a spy must not have, by what it is.
func (s *system) secrets(id, token string) map[string][]byte {
	s.t.Helper()
	all := map[string][]byte{"the caller's token": []byte(token), "its signature": []byte(token[strings.LastIndex(token, ".")+1:])}
	for _, name := range []string{"name.key", ".run/rules.key"} {
		key, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		all[name] = key
	}
	list, err := s.kube.CoreV1().Secrets(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, secret := range list.Items {
		for key, value := range secret.Data {
			all[secret.Name+"/"+key] = value
		}
	}
	if len(all["mcp-"+id+"-shim/seal"]) != 32 || len(all["mcp-"+id+"-shim/gateway"]) != 32 {
		s.t.Errorf("there is nothing to look for: %d secrets", len(all))
	}
	return all
}

// checkLoot looks for secrets in what a spy got.
func (s *system) checkLoot(id string, secrets map[string][]byte) {
	s.t.Helper()
	for _, a := range s.loot(id) {
		for name, secret := range secrets {
			if bytes.Contains(a.Got, secret) || bytes.Contains(a.Got, []byte(base64.StdEncoding.EncodeToString(secret))) {
				s.t.Errorf("the spy got %s by %s %s", name, a.What, a.Target)
			}
		}
	}
}

// checkAttempts looks at whether a spy tried everything, and came through nowhere.
func (s *system) checkAttempts(id string) {
	s.t.Helper()
	tried, open := map[string]int{}, map[string]bool{"http://127.0.0.1:8080/": true, "http://127.0.0.1:8012/": true}
	for _, a := range s.loot(id) {
		tried[a.What]++
		through := a.Denied == ""
		switch a.What {
		case loot.Write, loot.Power, loot.Process, loot.Socket, loot.Bind:
		case loot.File:
			through = through && (strings.Contains(a.Target, "secret") || strings.HasPrefix(a.Target, "/run/") || strings.HasPrefix(a.Target, "/etc/mounts"))
		case loot.Reach:
			delete(open, a.Target)
			through = through && bytes.HasPrefix(a.Got, []byte("HTTP/1.1 200")) && !strings.HasPrefix(a.Target, "http://127.0.0.1")
		default:
			continue
		}
		if through {
			s.t.Errorf("the spy came through: %s %s: %.300q", a.What, a.Target, a.Got)
		}
	}
	for _, kind := range []string{loot.File, loot.Table, loot.Write, loot.Power, loot.Reach, loot.Bind, loot.Environ, loot.Serve} {
		if tried[kind] == 0 {
			s.t.Errorf("the spy did not try: %s", kind)
		}
	}
	if len(open) > 0 || tried[loot.Reach] < 8 {
		s.t.Errorf("the spy found %d doors and not %v", tried[loot.Reach], open)
	}
}

// loot is what the spy of a server has written down.
func (s *system) loot(id string) (all []loot.Attempt) {
	s.t.Helper()
	for _, pod := range s.pods(id) {
		text, err := s.kube.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "server"}).DoRaw(context.Background())
		if err != nil {
			continue // its container is about to start
		}
		for line := range bytes.Lines(text) {
			var a loot.Attempt
			if json.Unmarshal(line, &a) == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// rounds is how often a spy has tried everything.
func (s *system) rounds(id string) (n int) {
	for _, a := range s.loot(id) {
		if a.What == loot.Round {
			n++
		}
	}
	return n
}

func (s *system) awaitLoot(id, what string, is func(loot.Attempt) bool) {
	s.t.Helper()
	s.eventually(what, time.Minute, func() bool { return slices.ContainsFunc(s.loot(id), is) })
}

// killShim has the shim of a server crash, as too much memory would.
func (s *system) killShim(id string) {
	s.t.Helper()
	killed := 0
	s.shims(id, func(pid int) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
		killed++
	})
	if killed != 1 {
		s.t.Fatalf("%d shims of %s run on this machine", killed, id)
	}
}

// shims finds the shims of a server: the cluster's only node is this machine.
func (s *system) shims(id string, do func(pid int)) {
	processes("/mcp/shim\x00proxy\x00", "", func(pid int, environment []byte) {
		if bytes.Contains(environment, []byte("SHIM_SERVER="+id+"\x00")) {
			do(pid)
		}
	})
}

// processes are those of this machine whose command line begins so, and has that too.
func processes(begin, has string, do func(pid int, environment []byte)) {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range folders {
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && strings.HasPrefix(string(command), begin) && strings.Contains(string(command), has) {
			do(pid, environment)
		}
	}
}
