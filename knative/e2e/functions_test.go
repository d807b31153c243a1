package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcpgateway/localstack/lambda"
)

// startFunctions runs both as functions, at the system's address. The deployer is invoked by the gateway and by a schedule.
func (s *system) startFunctions() {
	s.t.Helper()
	function := func(name string) lambda.Function {
		log, err := os.Create(filepath.Join(s.dir, name+".log"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = log.Close() })
		return lambda.Function{Name: name, Program: filepath.Join(programs, name), Memory: 512, Timeout: 2 * time.Minute, Log: log,
			Env: map[string]string{"PLATFORM": filepath.Join(s.dir, "platform.yaml"), "KUBECONFIG": filepath.Join(s.dir, name+".kubeconfig")}}
	}
	gateway, deployer := function("gateway"), function("deployer")
	gateway.MayInvoke = []string{"deployer"}
	deployer.Schedule = lambda.Schedule{Every: 5 * time.Second, Payload: []byte(`{"detail-type":"Scheduled Event"}`)}
	var err error
	s.front, err = lambda.Start(context.Background(), lambda.Config{Address: s.address, Function: gateway, Invocable: []lambda.Function{deployer}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// With gateway and deployer as functions nothing of ours runs between two calls: what the deployer makes is in the cluster,
// and sleeps and wakes there.
func TestFunctions(t *testing.T) {
	s := start(t, documents{servers: sample("funct", ""), policies: everybody, functions: true})
	alice := s.token("alice", "funct")
	first := s.echo("funct", alice, "first")
	if !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	t.Logf("deployed, woken and answered in %v (%s)", first.took, first.header.Get("Server-Timing"))
	revision := s.revision("funct")
	s.eventually("the pods are gone", 2*time.Minute, func() bool { return len(s.pods("funct")) == 0 })
	scheduled := s.front.Bill()["deployer"].Invocations
	s.eventually("the schedule came", time.Minute, func() bool { return s.front.Bill()["deployer"].Invocations > scheduled+1 })
	if pods := s.pods("funct"); len(pods) != 0 || s.revision("funct") != revision {
		t.Errorf("the schedule woke or changed it: %d pods", len(pods))
	}
	s.front.Reclaim() // the next call meets new processes, which know of nothing
	if woken := s.echo("funct", alice, "again"); !woken.echoes("again") {
		t.Errorf("the call that wakes: %v", woken)
	}
	for name, b := range s.front.Bill() {
		t.Logf("%s: %v", name, b)
		if b.Failed != 0 || b.TimedOut != 0 || b.Throttled != 0 {
			t.Errorf("%s: %v", name, b)
		}
	}
}
