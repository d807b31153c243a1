package knative

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	autoscaler "knative.dev/serving/pkg/autoscaler/config"

	"mcpgateway/internal/deploy"
)

// images are what the image names of plans are.
var images = map[string]string{
	deploy.ImageShim: "dev.local/shim", deploy.ImageNode: "dev.local/shim-node", deploy.ImagePython: "dev.local/shim-python",
}

// baked is the image of the package that the golden plans run.
const baked = "dev.local/baked@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// clusterSettings are those that the cluster must have besides Knative's own (config/README.md).
func clusterSettings(t *testing.T) context.Context {
	t.Helper()
	scaler, err := autoscaler.NewConfigFromMap(map[string]string{"allow-zero-initial-scale": "true"})
	if err != nil {
		t.Fatal(err)
	}
	c := config.FromContextOrDefaults(context.Background())
	c.Autoscaler = scaler
	return config.ToContext(context.Background(), c)
}

// settings are a cluster's, with the image of the package that the golden plans run.
func settings() Settings {
	return Settings{Namespace: "mcp-servers", Images: images, Packages: map[deploy.Package]string{
		{Registry: "npm", Name: "@modelcontextprotocol/server-github@2025.4.8"}: baked, {Registry: "pypi", Name: "mcp-server-git[all]==2025.1.14"}: baked},
		NameKey: []byte("a key of thirty-two bytes, or more"), CallTimeout: 10 * time.Minute}
}

// TestPlansCarryWhatAPodNeeds renders every golden plan.
func TestPlansCarryWhatAPodNeeds(t *testing.T) {
	paths, err := filepath.Glob("../internal/deploy/testdata/plans/*.json")
	if err != nil || len(paths) < 36 {
		t.Fatalf("found %d plans, %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var p deploy.Plan
			if err := json.Unmarshal(text, &p); err != nil {
				t.Fatal(err)
			}
			s, err := MakeService(p, settings())
			if strings.HasPrefix(name, "command-") {
				if err == nil || !strings.Contains(err.Error(), "a program of the operator's machine") {
					t.Errorf("a program of this machine: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx := apis.WithinCreate(clusterSettings(t))
			s.SetDefaults(ctx)
			if err := s.Validate(ctx); err != nil {
				t.Errorf("Knative's own admission refuses it: %v", err)
			}
			testContainers(t, name, s)
			testPackage(t, name, s)
			testSecrets(t, name, s)
			testVolumes(t, p, s)
			testScale(t, s)
		})
	}
}

func testContainers(t *testing.T, name string, s *servingv1.Service) {
	t.Helper()
	runtime, _, _ := strings.Cut(name, ".")
	withPorts, taken := 0, map[int32]string{}
	for _, c := range s.Spec.Template.Spec.Containers {
		if c.Image == "" {
			t.Errorf("%s has no image", c.Name)
		}
		if runtime != "container" && len(c.Command) == 0 {
			t.Errorf("%s has no command", c.Name)
		}
		if c.Resources.Limits.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s has no limits: %v", c.Name, c.Resources)
		}
		for _, port := range c.Ports {
			withPorts++
			if c.Name != "shim" || c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Port.IntVal != port.ContainerPort || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
				t.Errorf("%s has port %d, probe %+v", c.Name, port.ContainerPort, c.ReadinessProbe)
			}
			if value(c, "SHIM_LISTEN") != ":"+strconv.Itoa(int(port.ContainerPort)) {
				t.Errorf("the shim listens on %s, and its port is %d", value(c, "SHIM_LISTEN"), port.ContainerPort)
			}
			taken[port.ContainerPort] = c.Name
		}
		if c.Name != "shim" && c.ReadinessProbe != nil {
			t.Errorf("%s has a probe, which needs a feature of Knative that is off", c.Name)
		}
	}
	if withPorts != 1 {
		t.Errorf("%d containers have ports, Knative wants one", withPorts)
	}
	// The golden container serves on 8080, and shares the pod's localhost with the shim.
	if runtime == "container" && taken[8080] != "" {
		t.Errorf("%s has the server's port", taken[8080])
	}
	testUpstream(t, runtime, s)
}

// testPackage looks at the server of a package: it runs what its own image holds, and asks no registry.
func testPackage(t *testing.T, name string, s *servingv1.Service) {
	t.Helper()
	runtime, _, _ := strings.Cut(name, ".")
	want := map[string][]string{
		"npx": {"/mcp/shim", "bridge", "--", "/mcp/program", "--read-only"},
		"uvx": {"/mcp/shim", "bridge", "--", "/mcp/program", "--repository", "/data"},
	}[runtime]
	if want == nil {
		return
	}
	server := s.Spec.Template.Spec.Containers[1]
	if diff := cmp.Diff(want, server.Command); diff != "" {
		t.Errorf("the server runs (-want +got):\n%s", diff)
	}
	if server.Image != baked {
		t.Errorf("the server's image is %s, want %s", server.Image, baked)
	}
}

func testUpstream(t *testing.T, runtime string, s *servingv1.Service) {
	t.Helper()
	want := map[string]string{
		"npx": "unix:/run/sockets/server/socket", "uvx": "unix:/run/sockets/server/socket",
		"container": "http://127.0.0.1:8080/v1/mcp", "remote": "https://mcp.example.net/mcp",
	}[runtime]
	containers := s.Spec.Template.Spec.Containers
	if got := value(containers[0], "SHIM_UPSTREAM"); got != want {
		t.Errorf("the shim's upstream is %s, want %s", got, want)
	}
	if strings.HasPrefix(want, "unix:") && value(containers[1], "SHIM_LISTEN") != want {
		t.Errorf("the bridge listens on %s, and the shim asks %s", value(containers[1], "SHIM_LISTEN"), want)
	}
	pull := s.Spec.Template.Spec.ImagePullSecrets
	if runtime == "container" && (len(pull) != 1 || pull[0].Name != "registry") {
		t.Errorf("the image is pulled with %v", pull)
	}
}

// testSecrets looks at keys, since two containers may use one Secret.
func testSecrets(t *testing.T, name string, s *servingv1.Service) {
	t.Helper()
	spec := s.Spec.Template.Spec
	holders := map[string][]string{}
	for _, c := range spec.Containers {
		for _, v := range c.Env {
			if v.ValueFrom != nil {
				ref := v.ValueFrom.SecretKeyRef
				holders[ref.Name+"/"+ref.Key] = append(holders[ref.Name+"/"+ref.Key], c.Name)
			}
		}
		for _, m := range c.VolumeMounts {
			v := spec.Volumes[slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })]
			if v.Secret == nil {
				continue
			}
			if len(v.Secret.Items) != 1 {
				t.Errorf("%s sees %d keys of %s", c.Name, len(v.Secret.Items), v.Secret.SecretName)
			}
			for _, item := range v.Secret.Items {
				holders[v.Secret.SecretName+"/"+item.Key] = append(holders[v.Secret.SecretName+"/"+item.Key], c.Name)
			}
		}
	}
	want := map[string][]string{"mcp-github-shim/seal": {"shim"}, "mcp-github-shim/gateway": {"shim"}, "mcp-github-shim/exchange": {"shim"}}
	if strings.HasSuffix(name, ".elsewhere") { // its filter is a server of the catalog, which the shim has a token for
		want["mcp-github-shim/oauth"] = []string{"shim"}
	}
	for _, c := range spec.Containers {
		switch c.Name {
		case "server":
			want["mcp-github-server/token"] = []string{"server"}
		case "filter-pii":
			want["mcp-github-shim/pii"] = []string{"filter-pii"}
		}
	}
	if diff := cmp.Diff(want, holders); diff != "" {
		t.Errorf("secrets are held by (-want +got):\n%s", diff)
	}
}

func testVolumes(t *testing.T, p deploy.Plan, s *servingv1.Service) {
	t.Helper()
	spec := s.Spec.Template.Spec
	mounts := map[string][]string{}
	for _, c := range spec.Containers {
		for _, m := range c.VolumeMounts {
			mounts[m.Name] = append(mounts[m.Name], c.Name)
		}
	}
	for _, v := range spec.Volumes {
		name, isSocket := strings.CutPrefix(v.Name, "socket-")
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit.IsZero() {
			t.Errorf("volume %s may grow for ever", v.Name)
		}
		if isSocket && v.EmptyDir == nil {
			t.Errorf("volume %s is %+v", v.Name, v.VolumeSource)
		}
		if unit, ok := strings.CutPrefix(v.Name, "scratch-"); ok && !slices.Equal(mounts[v.Name], []string{unit}) {
			t.Errorf("what %s writes is mounted by %v", unit, mounts[v.Name])
		}
		if isSocket && !slices.Equal(mounts[v.Name], []string{"shim", name}) {
			t.Errorf("the socket volume %s is mounted by %v", name, mounts[v.Name])
		}
	}
	if !slices.Equal(mounts["rules"], []string{"shim"}) || value(spec.Containers[0], "SHIM_RULES") != "/etc/mounts/rules/rules" {
		t.Errorf("the rules are mounted by %v and read from %s", mounts["rules"], value(spec.Containers[0], "SHIM_RULES"))
	}
	if owner := value(spec.Containers[0], "SHIM_OWNER_SUBJECT"); (p.Owner == nil) != (owner == "") {
		t.Errorf("the shim's owner is %q, the plan's %v", owner, p.Owner)
	}
}

func testScale(t *testing.T, s *servingv1.Service) {
	t.Helper()
	want := map[string]string{
		autoscaling.InitialScaleAnnotationKey: "0", autoscaling.MinScaleAnnotationKey: "0", autoscaling.MaxScaleAnnotationKey: "1",
		autoscaling.WindowAnnotationKey: "1m0s", autoscaling.TargetAnnotationKey: "100", "serving.knative.dev/progress-deadline": "30s",
		"features.knative.dev/http-full-duplex": "Enabled", "mcpgateway.dev/gateway-key": "0c88e6680ad03155",
	}
	if diff := cmp.Diff(want, s.Spec.Template.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if plan := s.Spec.Template.Labels[labelPlan]; plan == "" || len(plan) > 63 {
		t.Errorf("the hash %q is no label", plan)
	}
	for _, c := range s.Spec.Template.Spec.Containers {
		if value(c, "SHIM_IDLE") != "" {
			t.Error("the shim ends itself, though the autoscaler knows when it is idle")
		}
	}
}

// value is a variable of a container.
func value(c corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
