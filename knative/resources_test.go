package knative

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"mcpgateway/internal/deploy"
)

// golden is a plan of the suite of plans.
func golden(t *testing.T, name string) deploy.Plan {
	t.Helper()
	text, err := os.ReadFile("../internal/deploy/testdata/plans/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var p deploy.Plan
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// What changes what runs is another hash; the same plan is the same, whatever order a map has.
func TestHashOfService(t *testing.T) {
	p := golden(t, "npx.shared.webhook")
	first, err := MakeService(p, settings())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := MakeService(p, settings()); again.Annotations[annotationHash] != first.Annotations[annotationHash] {
			t.Fatal("the same plan has another hash")
		}
	}
	for name, change := range map[string]func(*deploy.Plan, *Settings){
		"plan": func(p *deploy.Plan, _ *Settings) { p.Hash = "other" },
		"image": func(p *deploy.Plan, s *Settings) {
			s.Packages = map[deploy.Package]string{*p.Units[1].Package: "dev.local/other@sha256:2"}
		},
		"key":     func(_ *deploy.Plan, s *Settings) { s.NameKey = []byte("another key of thirty-two bytes") },
		"timeout": func(_ *deploy.Plan, s *Settings) { s.CallTimeout++; s.CallTimeout *= 2 },
		"scale":   func(p *deploy.Plan, _ *Settings) { p.Scale.Max++ },
	} {
		p, s := p, settings()
		change(&p, &s)
		if other, err := MakeService(p, s); err != nil || other.Annotations[annotationHash] == first.Annotations[annotationHash] {
			t.Errorf("%s: the hash stays, %v", name, err)
		}
	}
}

func TestMakeServiceRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*deploy.Plan, *Settings)
		want   string
	}{
		"no image of the package": {func(_ *deploy.Plan, s *Settings) { s.Packages = nil }, "mcpgateway bake"},
		"no image of the shim":    {func(_ *deploy.Plan, s *Settings) { s.Images = nil }, "deployer.knative.images has no shim"},
		"no name key":             {func(_ *deploy.Plan, s *Settings) { s.NameKey = nil }, "name key"},
		"an odd quantity":         {func(p *deploy.Plan, _ *Settings) { p.Units[1].Limits.CPU = "much" }, `cpu "much"`},
		"an odd mount":            {func(p *deploy.Plan, _ *Settings) { p.Units[0].Mounts[0].Name = "host" }, `mount "host"`},
		"a stranger's socket": {func(p *deploy.Plan, _ *Settings) {
			p.Units[1].Env = append(p.Units[1].Env, deploy.EnvVar{Name: "A", Value: "{socket:metrics}"})
		}, "has no value"},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := golden(t, "npx.shared.webhook"), settings()
			c.change(&p, &s)
			if made, err := MakeService(p, s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("made %v, %v; want an error with %q", made, err, c.want)
			}
		})
	}
}

// The strictest Pod Security level (restricted), and what it leaves open.
func TestRestricted(t *testing.T) {
	for _, name := range []string{"npx.shared.webhook", "container.user.none", "remote.shared.none"} {
		s, err := MakeService(golden(t, name), settings())
		if err != nil {
			t.Fatal(err)
		}
		spec := s.Spec.Template.Spec
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken || spec.HostNetwork || spec.ServiceAccountName != "" {
			t.Errorf("%s: the pod has an identity, or the node's network", name)
		}
		for _, c := range spec.Containers {
			x := c.SecurityContext
			if x == nil || !*x.RunAsNonRoot || *x.AllowPrivilegeEscalation || !*x.ReadOnlyRootFilesystem || len(x.Capabilities.Drop) != 1 ||
				x.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s is not restricted: %+v", name, c.Name, x)
			}
			if ours := c.Name != "server" || !strings.HasPrefix(name, "container"); ours != (x.RunAsUser != nil) {
				t.Errorf("%s: %s runs as %v", name, c.Name, x.RunAsUser)
			}
			if cpu, limit := c.Resources.Requests.Cpu(), c.Resources.Limits.Cpu(); cpu.IsZero() || cpu.Cmp(*limit) >= 0 {
				t.Errorf("%s: %s asks for %s of %s", name, c.Name, cpu, limit)
			}
		}
	}
}

// The kubelet replaces $(NAME): an operator's text must come through as it is.
// Servers that are woken at once find room: what a pod claims is a small part of its limits.
func TestClaims(t *testing.T) {
	r, err := resources(deploy.Resources{CPU: "1", Memory: "128Mi"})
	if err != nil {
		t.Fatal(err)
	}
	if cpu, memory := r.Requests.Cpu().String(), r.Requests.Memory().String(); cpu != "10m" || memory != "32Mi" {
		t.Errorf("claims %s and %s, want 10m and 32Mi", cpu, memory)
	}
	if cpu, memory := r.Limits.Cpu().String(), r.Limits.Memory().String(); cpu != "1" || memory != "128Mi" {
		t.Errorf("limits %s and %s", cpu, memory)
	}
	if r, err = resources(deploy.Resources{CPU: "10m"}); err != nil || r.Requests.Cpu().String() != "1m" || len(r.Requests) != 1 {
		t.Errorf("of 10m claims %v, %v", r.Requests, err)
	}
}

func TestTextIsLiteral(t *testing.T) {
	p := golden(t, "npx.shared.none")
	p.Units[1].Env = append(p.Units[1].Env, deploy.EnvVar{Name: "A", Value: "$(HOME) costs $5"})
	p.Units[1].Command = append(p.Units[1].Command, "$(HOME)")
	s, err := MakeService(p, settings())
	if err != nil {
		t.Fatal(err)
	}
	c := s.Spec.Template.Spec.Containers[1]
	if got := value(c, "A"); got != "$$(HOME) costs $$5" {
		t.Errorf("the variable is %q", got)
	}
	if got := c.Command[len(c.Command)-1]; got != "$$(HOME)" {
		t.Errorf("the argument is %q", got)
	}
}
