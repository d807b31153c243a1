package knative

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
)

// This file renders plans for Knative in the simplest way, to prove that a plan carries what a pod needs: whatever
// render needs and does not find in the plan would have to come from the catalog again. The deployer for clusters
// replaces it.

// images is how a deployer maps the image names of plans.
var images = map[string]string{
	deploy.ImageShim: "ko.local/shim", deploy.ImageNode: "ko.local/shim-node", deploy.ImagePython: "ko.local/shim-python",
}

const (
	socketFolder = "/run/sockets/"
	secretFolder = "/run/secrets/"
	mountFolder  = "/etc/mounts/"
	stateFolder  = "/run/state"
)

// render makes the Service of a plan.
func render(t *testing.T, p deploy.Plan) *servingv1.Service {
	t.Helper()
	pod := corev1.PodSpec{AutomountServiceAccountToken: new(bool), EnableServiceLinks: new(bool)}
	volumes := map[string]corev1.Volume{}
	ports := map[string]string{}
	for _, u := range p.Units {
		ports[u.Name] = strconv.Itoa(u.Port)
	}
	for _, u := range p.Units {
		pod.Containers = append(pod.Containers, renderUnit(t, u, ports, volumes))
		if u.ImagePullSecret != "" {
			pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: u.ImagePullSecret})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		pod.Volumes = append(pod.Volumes, volumes[name])
	}
	concurrency := int64(p.Scale.Concurrency)
	s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: "mcp-" + p.Server, Labels: map[string]string{"mcpgateway/hash": p.Hash}}}
	s.Spec.Template.Annotations = map[string]string{
		autoscaling.MinScaleAnnotationKey: "0",
		autoscaling.MaxScaleAnnotationKey: strconv.Itoa(p.Scale.Max),
		autoscaling.WindowAnnotationKey:   p.Scale.Idle.String(),
		autoscaling.TargetAnnotationKey:   strconv.Itoa(p.Scale.Concurrency),
		// How long a revision may take to become ready.
		"serving.knative.dev/progress-deadline": p.Startup.String(),
	}
	s.Spec.Template.Spec = servingv1.RevisionSpec{PodSpec: pod, ContainerConcurrency: &concurrency}
	return s
}

func renderUnit(t *testing.T, u deploy.Unit, ports map[string]string, volumes map[string]corev1.Volume) corev1.Container {
	t.Helper()
	c := corev1.Container{Name: u.Name, Image: images[u.Image], Resources: limits(u.Limits), SecurityContext: restricted()}
	if c.Image == "" {
		c.Image = u.Image
	}
	places := deploy.Places{Shim: "/shim", Port: ports[u.Name], Ports: ports, Sockets: map[string]string{}, Mounts: map[string]string{}}
	if u.Role == deploy.RoleShim {
		places.Listen, places.State = ":"+ports[u.Name], stateFolder
		c.Ports = []corev1.ContainerPort{{ContainerPort: int32(u.Port)}}
	}
	if u.Package != nil {
		c.Image, places.Package = bake(c.Image, *u.Package), bakedProgram
	}
	for _, name := range u.Sockets {
		addVolume(&c, volumes, "socket-"+name, socketFolder+name, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}})
		places.Sockets[name] = socketFolder + name + "/socket"
	}
	for _, m := range u.Mounts {
		source := corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.Name}}
		addVolume(&c, volumes, m.Name, mountFolder+m.Name, corev1.VolumeSource{ConfigMap: &source})
		places.Mounts[m.Name] = mountFolder + m.Name + "/" + m.File
	}
	for _, s := range u.Secrets {
		renderSecret(&c, volumes, s)
	}
	c.Command, c.Args = expand(t, places, u.Command), expand(t, places, u.Args)
	for _, v := range u.Env {
		c.Env = append(c.Env, corev1.EnvVar{Name: v.Name, Value: expand(t, places, []string{v.Value})[0]})
	}
	if u.Probe.Path != "" {
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: u.Probe.Path, Port: intstr.FromInt32(int32(u.Port))}}}
	}
	return c
}

// bakedProgram is where a baked image has the program of its package.
const bakedProgram = "/package/program"

// bake names the image that holds a package besides the shim: the plan must tell which one.
func bake(image string, p deploy.Package) string {
	return fmt.Sprintf("%s:%x", image, sha256.Sum256([]byte(p.Registry+" "+p.Name)))
}

// restricted is the strictest context, which Knative's admission asks for.
func restricted() *corev1.SecurityContext {
	yes, no := true, false
	return &corev1.SecurityContext{
		RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// renderSecret gives a container one key of a Secret, and no other key of it.
func renderSecret(c *corev1.Container, volumes map[string]corev1.Volume, s deploy.Secret) {
	if s.Env != "" {
		c.Env = append(c.Env, corev1.EnvVar{Name: s.Env, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.Store}, Key: s.Key}}})
		return
	}
	name := "secret-" + c.Name + "-" + s.Key
	source := corev1.SecretVolumeSource{SecretName: s.Store, Items: []corev1.KeyToPath{{Key: s.Key, Path: s.Key}}}
	addVolume(c, volumes, name, secretFolder+s.Key, corev1.VolumeSource{Secret: &source})
	c.Env = append(c.Env, corev1.EnvVar{Name: s.File, Value: secretFolder + s.Key + "/" + s.Key})
}

func addVolume(c *corev1.Container, volumes map[string]corev1.Volume, name, path string, source corev1.VolumeSource) {
	volumes[name] = corev1.Volume{Name: name, VolumeSource: source}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
}

func expand(t *testing.T, p deploy.Places, words []string) []string {
	t.Helper()
	var out []string
	for _, word := range words {
		expanded, err := p.Expand(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, expanded)
	}
	return out
}

func limits(r deploy.Resources) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if r.CPU != "" {
		list[corev1.ResourceCPU] = resource.MustParse(r.CPU)
	}
	if r.Memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(r.Memory)
	}
	return corev1.ResourceRequirements{Limits: list}
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
			if strings.HasPrefix(name, "command-") {
				if slices.ContainsFunc(p.Units, func(u deploy.Unit) bool { return u.Role == deploy.RoleServer && u.Image != "" }) {
					t.Error("a command of this machine claims to have an image")
				}
				return // which a cluster cannot run
			}
			s := render(t, p)
			ctx := apis.WithinCreate(context.Background())
			s.SetDefaults(ctx)
			if err := s.Validate(ctx); err != nil {
				t.Errorf("Knative's own admission refuses it: %v", err)
			}
			testContainers(t, name, s)
			testPackage(t, name, s)
			testSecrets(t, s)
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
		"npx": {"/shim", "bridge", "--", bakedProgram, "--read-only"},
		"uvx": {"/shim", "bridge", "--", bakedProgram, "--repository", "/data"},
	}[runtime]
	if want == nil {
		return
	}
	image := map[string]string{
		"npx": bake("ko.local/shim-node", deploy.Package{Registry: "npm", Name: "@modelcontextprotocol/server-github@2025.4.8"}),
		"uvx": bake("ko.local/shim-python", deploy.Package{Registry: "pypi", Name: "mcp-server-git[all]==2025.1.14"}),
	}[runtime]
	server := s.Spec.Template.Spec.Containers[1]
	if diff := cmp.Diff(want, server.Command); diff != "" {
		t.Errorf("the server runs (-want +got):\n%s", diff)
	}
	if server.Image != image {
		t.Errorf("the server's image is %s, want %s", server.Image, image)
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
func testSecrets(t *testing.T, s *servingv1.Service) {
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
	want := map[string][]string{"mcp-github-shim/seal": {"shim"}, "mcp-github-shim/exchange": {"shim"}}
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
		if isSocket != (v.EmptyDir != nil) {
			t.Errorf("volume %s is %+v", v.Name, v.VolumeSource)
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
		autoscaling.MinScaleAnnotationKey: "0", autoscaling.MaxScaleAnnotationKey: "1", autoscaling.WindowAnnotationKey: "1m0s",
		autoscaling.TargetAnnotationKey: "100", "serving.knative.dev/progress-deadline": "30s",
	}
	if diff := cmp.Diff(want, s.Spec.Template.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if s.Labels["mcpgateway/hash"] == "" || len(s.Labels["mcpgateway/hash"]) > 63 {
		t.Errorf("the hash %q is no label", s.Labels["mcpgateway/hash"])
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
