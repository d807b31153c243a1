package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcpgateway/internal/proxytest"
)

// mcpgateway runs a verb with the operator's kubeconfig.
func (s *system) mcpgateway(args ...string) (out string, code int) {
	s.t.Helper()
	command := s.command(args...)
	text, err := command.CombinedOutput()
	if command.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

func (s *system) command(args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(programs, "mcpgateway"), append(args, "--platform", filepath.Join(s.dir, "platform.yaml"))...)
	command.Env = append(os.Environ(), "KUBECONFIG="+os.Getenv("TEST_KUBECONFIG"))
	return command
}

// shown is what is read of "mcpgateway status --json".
type shown struct {
	ID        string
	Deployed  bool
	Instances []struct {
		Name, Owner, Revision, State, Trouble string
		Since, LastCall                       *time.Time
		Images                                []struct{ Container, Image string }
	}
}

func (s *system) status() map[string]shown {
	s.t.Helper()
	out, code := s.mcpgateway("status", "--json")
	var list []shown
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		s.t.Fatalf("status: %v, exit %d\n%s", err, code, out)
	}
	servers := map[string]shown{}
	for _, server := range list {
		servers[server.ID] = server
	}
	return servers
}

const verbsWindow = 5 * window

// What an operator sees of servers, reads of them, and wakes.
func TestOperatorsVerbs(t *testing.T) {
	// It is looked at several times before it sleeps.
	verbs := strings.Replace(sample("verbs", ""), window.String(), verbsWindow.String(), 1)
	s := start(t, documents{policies: everybody, servers: verbs + sample("each", ", instances: {per: user, max: 2}")})
	began := time.Now().Truncate(time.Second)
	if a := s.echo("verbs", s.token("alice", "verbs"), "first"); !a.echoes("first") {
		t.Fatalf("the first call: %v", a)
	}
	if a := s.echo("each", s.token("alice", "each"), "first"); !a.echoes("first") {
		t.Fatalf("the first call of alice's own: %v", a)
	}
	if a := s.echo("verbs", s.token("alice", "verbs"), "again"); !a.echoes("again") {
		t.Fatalf("the second call: %v", a)
	}
	now := s.status()
	i := now["verbs"].Instances[0]
	if i.State != "awake" || i.Revision != s.revision("verbs") || i.Since == nil || i.Since.Before(began) || len(i.Images) != 2 || i.Trouble != "" {
		t.Errorf("status of a server that is awake: %+v", i)
	}
	if own := now["each"].Instances; len(own) != 1 || len(own[0].Owner) != 16 {
		t.Errorf("status of users' instances: %+v", own)
	}
	table, code := s.mcpgateway("status")
	t.Logf("status:\n%s", table)
	if text, _ := s.mcpgateway("status", "--json"); code != 0 || strings.Contains(table+text, "alice") || strings.Contains(table+text, s.issuer.URL) {
		t.Errorf("status names a user:\n%s%s", table, text)
	}
	if logs, code := s.mcpgateway("logs", "verbs", "--container", "shim"); code != 0 || !strings.Contains(logs, `"callType":"tools/call"`) {
		t.Errorf("the shim's logs, exit %d:\n%s", code, logs)
	}
	if logs, code := s.mcpgateway("logs", "verbs"); code != 0 || !strings.Contains(logs, i.Revision) || !strings.Contains(logs, " shim | ") {
		t.Errorf("all logs, exit %d:\n%s", code, logs)
	}
	s.wakesAndFollows("verbs")
}

// wakesAndFollows lets a server sleep, and wakes it twice, by both ways, while somebody follows its logs.
func (s *system) wakesAndFollows(id string) {
	t := s.t
	s.eventually("it sleeps", 2*time.Minute, func() bool { return s.status()[id].Instances[0].State == "asleep" && len(s.pods(id)) == 0 })
	s.eventually("since when is known", 10*time.Second, func() bool { return s.status()[id].Instances[0].LastCall != nil })
	i := s.status()[id].Instances[0]
	if slept := i.Since.Sub(*i.LastCall); slept != verbsWindow || time.Since(*i.Since) > time.Minute {
		t.Errorf("asleep since %v, the last call %v", i.Since, i.LastCall)
	}
	log := filepath.Join(s.dir, "followed.log")
	command := s.command("logs", id, "--follow", "--container", "shim")
	follower, err := proxytest.StartProcess(proxytest.Command{Path: command.Path, Args: command.Args[1:], Env: command.Env, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Stop() //nolint:errcheck // it ends by the signal
	out, code := s.mcpgateway("wake", id)
	t.Logf("wake:\n%s", out)
	if code != 0 || !strings.Contains(out, "is asleep") || !strings.Contains(out, "shim started") || !strings.Contains(out, "answered: it takes calls") || len(s.pods(id)) != 1 {
		t.Errorf("wake, exit %d:\n%s", code, out)
	}
	if a := s.echo(id, s.token("alice", id), "followed"); !a.echoes("followed") {
		t.Errorf("a call: %v", a)
	}
	s.eventually("the follower reads the new pod's lines", 30*time.Second, func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), s.pods(id)[0].Name+" shim | ") && strings.Contains(string(text), `"callType":"tools/call"`)
	})
	s.eventually("it sleeps again", 2*time.Minute, func() bool { return s.status()[id].Instances[0].State == "asleep" && len(s.pods(id)) == 0 })
	platform, err := os.ReadFile(filepath.Join(s.dir, "platform.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("platform.yaml", strings.Replace(string(platform), ingress, "http://127.0.0.1:1", 1))
	out, code = s.mcpgateway("wake", id)
	t.Logf("wake through the API server:\n%s", out)
	if code != 0 || !strings.Contains(out, "asked through the API server") || !strings.Contains(out, "answered: it takes calls") || len(s.pods(id)) != 1 {
		t.Errorf("wake through the API server, exit %d:\n%s", code, out)
	}
}

// routed reports whether the cluster's network leads to a server that sleeps. Nothing is woken: the activator takes it for the
// kubelet's probe. An ingress that asks before may keep a connection to whoever else took the address meanwhile.
func (s *system) routed(id string) bool {
	service, err := s.kube.CoreV1().Services(namespace).Get(context.Background(), s.revision(id), metav1.GetOptions{})
	if err != nil {
		return false
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+service.Spec.ClusterIP, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("K-Kubelet-Probe", "e2e")
	return askBy(fresh, r).status == http.StatusOK
}

// What keeps a server from starting is told with its last words, by status and by wake.
func TestOperatorSeesTrouble(t *testing.T) {
	s := start(t, documents{policies: everybody, servers: strings.Replace(sample("broken", ""), `"127.0.0.1:8090"`, `"127.0.0.1:8090", -no-such-flag`, 1)})
	s.eventually("it is deployed", time.Minute, func() bool { return s.revision("broken") != "" })
	s.eventually("the cluster's network leads to it", time.Minute, func() bool { return s.routed("broken") })
	out, code := s.mcpgateway("wake", "broken")
	t.Logf("wake:\n%s", out)
	if code != 1 || !strings.Contains(out, "no-such-flag") {
		t.Errorf("wake, exit %d:\n%s", code, out)
	}
	table, code := s.mcpgateway("status")
	t.Logf("status:\n%s", table)
	if code != 0 || !strings.Contains(table, "trouble") || !strings.Contains(table, "no-such-flag") {
		t.Errorf("status, exit %d:\n%s", code, table)
	}
	s.eventually("the container restarted, and its last logs can be read", time.Minute, func() bool {
		logs, code := s.mcpgateway("logs", "broken", "--container", "server", "--previous")
		return code == 0 && strings.Contains(logs, "no-such-flag")
	})
	if out, code := s.mcpgateway("wake", "nobody"); code != 1 || !strings.Contains(out, "has no server") {
		t.Errorf("wake of nobody, exit %d:\n%s", code, out)
	}
}
