package process

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// BenchmarkWake is the time from asking for a sleeping server until it takes calls, with the real programs.
func BenchmarkWake(b *testing.B) {
	dir := b.TempDir()
	for name, path := range map[string]string{"deployer": "functions/deployer", "shim": "shim", "server": "localstack/sample"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), "mcpgateway/"+path).CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	p := newPlace(b)
	p.deployer.Close()
	p.config.Shim, p.config.Supervisor = filepath.Join(dir, "shim"), []string{filepath.Join(dir, "deployer"), "supervise"}
	p.open()
	plan := wakePlan(b, p, filepath.Join(dir, "server"))
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := p.deployer.Ensure(context.Background(), plan); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		if err := p.deployer.Remove(context.Background(), plan.Key()); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // of waking and removing: says nothing
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}

func wakePlan(b *testing.B, p *place, server string) deploy.Plan {
	rig := deploytest.NewRig()
	if err := p.deployer.SetRules(context.Background(), "a", rig.Allow("a", 1)); err != nil {
		b.Fatal(err)
	}
	plan, err := deploy.MakePlan(catalog.Server{
		ID:      "a",
		Runtime: catalog.Runtime{Command: &catalog.Command{Exec: server, Args: []string{"-addr", "127.0.0.1:{port}"}, HTTP: &catalog.HTTP{}}},
		Scale:   catalog.Scale{Idle: catalog.Duration(time.Minute)},
		Startup: catalog.Startup{Timeout: catalog.Duration(time.Minute)},
	}, nil, deploy.Options{RulesKey: rig.RulesKey()})
	if err != nil {
		b.Fatal(err)
	}
	return plan
}
