package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"mcpgateway/internal/catalog"
)

// kindRig is a copy of what knative/kind.sh needs, with stand-ins for all that it calls: there is no Docker to try it on.
type kindRig struct {
	t    *testing.T
	root string
	path string
}

func newKindRig(t *testing.T) *kindRig {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("it needs bash")
	}
	r := &kindRig{t: t, root: t.TempDir(), path: t.TempDir()}
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		r.copy(file, "knative/config/"+file)
	}
	r.copy("../kind.sh", "knative/kind.sh")
	for _, program := range []string{"bash", "cat", "mkdir", "sed", "dirname", "env", "touch"} {
		at, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(r.path, program)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *kindRig) copy(from, to string) {
	r.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join(r.root, to), string(text))
}

func (r *kindRig) write(file, text string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// standIn notes how it is called, and what it reads; then it does what more says.
func (r *kindRig) standIn(program, more string) {
	r.write(filepath.Join(r.path, program), `#!`+filepath.Join(r.path, "bash")+`
echo "`+program+` $*" >>`+r.root+`/calls
case " $* " in *" - "*) cat >>`+r.root+`/calls ;; esac
`+more+"\n")
}

func (r *kindRig) run(args ...string) (out string, code int) {
	r.t.Helper()
	command := exec.Command(filepath.Join(r.path, "bash"), append([]string{filepath.Join(r.root, "knative/kind.sh")}, args...)...)
	command.Env = []string{"PATH=" + r.path, "HOME=" + r.root}
	text, err := command.CombinedOutput()
	if command.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

func (r *kindRig) calls() string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.root, "calls"))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.root, "calls")); err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// all has the stand-ins be there; what does "kubectl get" say.
func (r *kindRig) all(get string) {
	r.standIn("docker", "")
	r.standIn("go", "")
	r.standIn("openssl", `while [ $# -gt 0 ]; do case $1 in -out | -keyout) echo made >"$2" ;; esac; shift; done`)
	r.standIn("kubectl", `case " $* " in *" get "*) `+get+` ;; esac`)
}

func TestKindNeedsPrograms(t *testing.T) {
	r := newKindRig(t)
	if out, code := r.run(); code != 1 || out != "knative/kind.sh: need docker kubectl openssl go\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	r.all("exit 1")
	r.standIn("docker", "exit 1")
	if out, code := r.run(); code != 1 || !strings.Contains(out, "its daemon does not answer") {
		t.Errorf("exit %d: %s", code, out)
	}
	for args, want := range map[string]int{"--help": 0, "-h": 0, "--nonsense": 2, "--dry-run --delete": 2} {
		if out, code := r.run(strings.Fields(args)...); code != want || !strings.Contains(out, "Usage: knative/kind.sh") {
			t.Errorf("%s: exit %d: %s", args, code, out)
		}
	}
	if calls := r.calls(); calls != "docker info\n" {
		t.Errorf("it called\n%s", calls)
	}
}

// A dry run calls nothing and makes nothing, and prints what a run does.
func TestKindDryRun(t *testing.T) {
	r := newKindRig(t)
	out, code := r.run("--dry-run")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(r.root, ".run")); err == nil {
		t.Error("it made something")
	}
	r.all("exit 1")
	if out, code := r.run(); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	for call := range strings.Lines(r.calls()) {
		plain := strings.TrimSpace(call)
		if strings.Contains(plain, " get ") || plain == "docker info" || strings.ContainsAny(plain, `{}"[]`) || strings.Contains(plain, "ldflags") {
			continue // questions, and what is quoted in print
		}
		if !strings.Contains(out, plain) {
			t.Errorf("a dry run does not print %q", plain)
		}
	}
}

func TestKindMakesAll(t *testing.T) {
	r := newKindRig(t)
	r.all("exit 1")
	if out, code := r.run(); code != 0 || !strings.Contains(out, "name an issuer") {
		t.Fatalf("exit %d: %s", code, out)
	}
	calls := r.calls()
	rest := calls
	for _, want := range []string{"create cluster --name mcpgateway", "hostPort: 18000, listenAddress: 127.0.0.1", "/knative-v1.23.0/serving-crds.yaml", "/knative-v1.23.0/serving-core.yaml",
		"/knative-v1.23.0/kourier.yaml", `"allow-zero-initial-scale":"true"`, `"max-revision-timeout-seconds":"900"`, "-n knative-serving create secret tls mcp-ingress",
		"rollout status deployment/activator", "load docker-image --name mcpgateway dev.local/gateway:kind", "COPY program /mcp/shim", "dev.local/mcp-shim:kind",
		"apply -f .run/kind/config/namespaces.yaml", "create secret generic mcpgateway-rules --from-file=.run/kind/rules.key", "create secret generic mcpgateway-name",
		"create configmap mcpgateway-ingress --from-file=.run/kind/ca.pem", "apply -k .run/kind/config"} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q comes too late, or not at all, in\n%s", want, calls)
		}
		rest = after
	}
	if moving := regexp.MustCompile(`latest|nightly|/main/`).FindString(calls); moving != "" {
		t.Errorf("it takes what is %s", moving)
	}
	r.filledIn()

	// A second time nothing is made that is there.
	r.all("exit 0")
	changed := filepath.Join(r.root, ".run/kind/config/catalog.yaml")
	r.write(changed, "theirs")
	if out, code := r.run(); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	again := r.calls()
	if strings.Contains(again, " create ") || strings.Contains(again, "openssl") || !strings.Contains(again, "apply -k") {
		t.Errorf("a second time it called\n%s", again)
	}
	if text, err := os.ReadFile(changed); err != nil || string(text) != "theirs" {
		t.Errorf("it wrote over what somebody changed: %q, %v", text, err)
	}
	if out, code := r.run("--delete"); code != 0 || !strings.Contains(r.calls(), "delete cluster --name mcpgateway") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// filledIn sees that of the examples of this folder none is left that a cluster could not have.
func (r *kindRig) filledIn() {
	r.t.Helper()
	folder := filepath.Join(r.root, ".run/kind/config")
	p, err := catalog.LoadPlatform(filepath.Join(folder, "platform.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	k := p.Deployer.Knative
	if k.Images.Shim != "dev.local/mcp-shim:kind" || k.Ingress.URL != "https://kourier.kourier-system.svc" || k.Ingress.Domain != "example.test" {
		r.t.Errorf("the platform is %+v", k)
	}
	text, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	var filled kustomization
	if err := yaml.UnmarshalStrict(text, &filled); err != nil {
		r.t.Fatal(err)
	}
	for _, image := range filled.Images {
		if image.NewName != "dev.local/"+image.Name || image.NewTag != "kind" {
			r.t.Errorf("image %+v", image)
		}
	}
	for _, file := range filled.Resources {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil || strings.Contains(string(text), "registry.example.com") {
			r.t.Errorf("%s: %v\n%s", file, err, text)
		}
	}
}

func TestKindIsCleanShell(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("it needs shellcheck")
	}
	if out, err := exec.Command("shellcheck", "../kind.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
