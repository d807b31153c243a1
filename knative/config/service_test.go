package config

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

const (
	ownImages = "registry.example.com/mcp/" // those that the parameters allow
	digest    = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// goodService is one that the deployer may write: shim, server and filter, each with its secrets.
func goodService() *servingv1.Service {
	no := false
	pod := corev1.PodSpec{
		AutomountServiceAccountToken: &no,
		Containers: []corev1.Container{
			{Name: "shim", Image: ownImages + "shim@" + digest, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
				VolumeMounts: []corev1.VolumeMount{{Name: "seal", MountPath: "/run/secrets/seal"}, {Name: "rules", MountPath: "/etc/rules"},
					{Name: "socket", MountPath: "/run/socket"}}},
			{Name: "server", Image: ownImages + "node-x@" + digest, Env: []corev1.EnvVar{{Name: "LEVEL", Value: "info"}, secretVariable("mcp-x-server")},
				VolumeMounts: []corev1.VolumeMount{{Name: "socket", MountPath: "/run/socket"}}},
			{Name: "filter-pii", Image: ownImages + "shim@" + digest, Env: []corev1.EnvVar{secretVariable("mcp-x-shim")}},
		},
		Volumes: []corev1.Volume{
			{Name: "seal", VolumeSource: secretVolume("mcp-x-shim")},
			{Name: "rules", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "mcp-x-rules"}}}},
			{Name: "socket", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
	for i := range pod.Containers {
		pod.Containers[i].SecurityContext = &corev1.SecurityContext{
			RunAsNonRoot: new(true), AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}
	}
	s := &servingv1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "serving.knative.dev/v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: "mcp-x", Namespace: servers, Labels: map[string]string{labelServer: "x", labelManager: "mcpgateway"}},
	}
	s.Spec.Template.Labels = map[string]string{labelServer: "x"}
	s.Spec.Template.Spec.PodSpec = pod
	return s
}

func secretVariable(secret string) corev1.EnvVar {
	return corev1.EnvVar{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "token"}}}
}

func secretVolume(secret string) corev1.VolumeSource {
	return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}
}

func projectedVolume(sources ...corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
}

func projectedSecret(secret string) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}
}

func environment(secret string) []corev1.EnvFromSource {
	return []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}
}

// mounted gives a volume to a container.
func mounted(p *corev1.PodSpec, container int, source corev1.VolumeSource) {
	p.Volumes = append(p.Volumes, corev1.Volume{Name: "more", VolumeSource: source})
	c := &p.Containers[container]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "more", MountPath: "/more"})
}

// The containers of goodService.
const (
	shim = iota
	server
	filter
)

// What the policy for Services says.
const (
	badName        = "name must be mcp-<id>, or mcp-<id>-<owner>, of the labels mcpgateway.dev/server and mcpgateway.dev/owner"
	badTemplate    = "the template must have the label mcpgateway.dev/server of the Service"
	badContainers  = "containers must be shim, server or filter-…, and none an init container"
	badImage       = "images must be of allowedImages in the ConfigMap mcp-admission"
	badShimImage   = "all containers but the server must run an image of shimImages in the ConfigMap mcp-admission"
	badVariable    = "variables must be of the Secrets mcp-<id>-shim and mcp-<id>-server only"
	badEnvironment = "environments must be of the Secrets mcp-<id>-shim and mcp-<id>-server only"
	badVolume      = "volumes must be of the Secrets mcp-<id>-shim and mcp-<id>-server only"
	badProjection  = "projected volumes must be of the Secrets mcp-<id>-shim and mcp-<id>-server only"
	badVolumeType  = "volumes must be emptyDir, configMap, secret or projected"
	badSource      = "projected volumes must be of Secrets and ConfigMaps only, and of no service account's token"
	seesShims      = "the server must not see the Secret mcp-<id>-shim"
	seesServers    = "only the server may see the Secret mcp-<id>-server"
	badPullSecret  = "imagePullSecrets must not be an entry's Secrets"
	badAccount     = "serviceAccountName must be mcp-server, or none"
	badToken       = "automountServiceAccountToken must be false"
	badNode        = "the node's namespaces must not be shared"
	badProcesses   = "containers must not share their processes"
)

// services are Services that differ from the good one, with what refuses them.
var services = []struct {
	name    string
	change  func(*servingv1.Service, *corev1.PodSpec)
	refused string
}{
	{"as the deployer writes it", func(*servingv1.Service, *corev1.PodSpec) {}, ""},
	{"a user's instance", func(s *servingv1.Service, _ *corev1.PodSpec) {
		s.Name, s.Labels[labelOwner] = "mcp-x-0123456789abcdef", "0123456789abcdef"
	}, ""},
	{"with the account of servers", func(_ *servingv1.Service, p *corev1.PodSpec) { p.ServiceAccountName = "mcp-server" }, ""},
	{"with a registry's credential", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	}, ""},
	{"with the server's Secret as a file", func(_ *servingv1.Service, p *corev1.PodSpec) { mounted(p, server, secretVolume("mcp-x-server")) }, ""},
	{"with the server's Secret as an environment", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[server].EnvFrom = environment("mcp-x-server")
	}, ""},
	{"with the shim's Secret projected", func(_ *servingv1.Service, p *corev1.PodSpec) {
		rules := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "mcp-x-rules"}}}
		mounted(p, shim, projectedVolume(projectedSecret("mcp-x-shim"), rules))
	}, ""},
	{"with the shim's image by tag", func(_ *servingv1.Service, p *corev1.PodSpec) { p.Containers[shim].Image = ownImages + "shim:v2" }, ""},

	{"another name", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Name = "x" }, badName},
	{"another entry's name", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Name = "mcp-y" }, badName},
	{"a name that goes on", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Name = "mcp-x-more" }, badName},
	{"a name with a user, a label without", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Name = "mcp-x-0123456789abcdef" }, badName},
	{"a label with a user, a name without", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Labels[labelOwner] = "0123456789abcdef" }, badName},
	{"a user who is not 16 hex digits", func(s *servingv1.Service, _ *corev1.PodSpec) {
		s.Name, s.Labels[labelOwner] = "mcp-x-alice", "alice"
	}, badName},
	{"no label", func(s *servingv1.Service, _ *corev1.PodSpec) {
		s.Name, s.Labels = "mcp--0123456789abcdef", map[string]string{labelOwner: "0123456789abcdef"}
		delete(s.Spec.Template.Labels, labelServer)
		s.Spec.Template.Spec.Containers, s.Spec.Template.Spec.Volumes = s.Spec.Template.Spec.Containers[:1], nil
		s.Spec.Template.Spec.Containers[shim].VolumeMounts = nil
	}, badName},
	{"pods with another entry's label", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Spec.Template.Labels[labelServer] = "y" }, badTemplate},
	{"pods without label", func(s *servingv1.Service, _ *corev1.PodSpec) { s.Spec.Template.Labels = nil }, badTemplate},

	{"a fourth kind of container", func(_ *servingv1.Service, p *corev1.PodSpec) { p.Containers[filter].Name = "sidecar" }, badContainers},
	{"an init container", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.InitContainers = []corev1.Container{{Name: "shim-init", Image: ownImages + "shim"}}
	}, badContainers},
	{"an init container with another entry's Secret", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.InitContainers = []corev1.Container{{Name: "init", Image: "evil.test/x", EnvFrom: environment("mcp-other-shim")}}
	}, badContainers},

	{"a server's image of Docker Hub", image(server, "busybox"), badImage},
	{"a server's image of another registry", image(server, "evil.test/mcp/node@"+digest), badImage},
	{"a registry whose name begins as ours", image(server, "registry.example.com.evil.test/mcp/node"), badImage},
	{"a folder whose name begins as ours", image(server, "registry.example.com/mcp-evil/node"), badImage},
	{"another folder of our registry", image(server, "registry.example.com/other/node"), badImage},
	{"no image", image(server, ""), badImage},
	{"a foreign image for the shim", image(shim, "evil.test/mcp/shim"), badImage},
	{"an image with a shell for the shim", image(shim, ownImages+"node-x@"+digest), badShimImage},
	{"an image with a shell for a filter", image(filter, ownImages+"node-x@"+digest), badShimImage},
	{"an image whose name begins as the shim's", image(shim, ownImages+"shim-evil:v1"), badShimImage},
	{"an image below the shim's", image(shim, ownImages+"shim/evil"), badShimImage},
	{"an image of a registry that looks like a tag", image(shim, ownImages+"shim:5000/evil"), badShimImage},

	{"another entry's shim's Secret as a variable", variable(server, "mcp-other-shim"), badVariable},
	{"another entry's server's Secret as a variable", variable(server, "mcp-other-server"), badVariable},
	{"another entry's Secret as the shim's variable", variable(shim, "mcp-other-shim"), badVariable},
	{"somebody's Secret as a variable", variable(filter, "keys"), badVariable},
	{"an entry's Secret whose id begins as ours", variable(shim, "mcp-x-y-shim"), badVariable},
	{"another entry's Secret as an environment", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[server].EnvFrom = environment("mcp-other-server")
	}, badEnvironment},
	{"another entry's Secret as the shim's environment", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[shim].EnvFrom = environment("mcp-other-shim")
	}, badEnvironment},
	{"another entry's Secret as files", func(_ *servingv1.Service, p *corev1.PodSpec) { mounted(p, server, secretVolume("mcp-other-server")) }, badVolume},
	{"another entry's Secret as the shim's files", func(_ *servingv1.Service, p *corev1.PodSpec) { mounted(p, shim, secretVolume("mcp-other-shim")) }, badVolume},
	{"another entry's Secret projected", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, projectedVolume(projectedSecret("mcp-x-server"), projectedSecret("mcp-other-server")))
	}, badProjection},

	{"Secrets of one version", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[server].Env = []corev1.EnvVar{secretVariable("mcp-x-server-0123456789abcdef")}
		mounted(p, shim, secretVolume("mcp-x-shim-0123456789abcdef"))
	}, ""},
	{"the shim's Secret of one version as the server's variable", variable(server, "mcp-x-shim-0123456789abcdef"), seesShims},
	{"the server's Secret of one version as the shim's variable", variable(shim, "mcp-x-server-0123456789abcdef"), seesServers},
	{"the shim's Secret as the server's variable", variable(server, "mcp-x-shim"), seesShims},
	{"the shim's Secret as the server's environment", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[server].EnvFrom = environment("mcp-x-shim")
	}, seesShims},
	{"the shim's Secret as the server's files", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[server].VolumeMounts = append(p.Containers[server].VolumeMounts, corev1.VolumeMount{Name: "seal", MountPath: "/seal"})
	}, seesShims},
	{"the shim's Secret projected for the server", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, projectedVolume(projectedSecret("mcp-x-shim")))
	}, seesShims},
	{"the server's Secret as the shim's variable", variable(shim, "mcp-x-server"), seesServers},
	{"the server's Secret as a filter's environment", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[filter].EnvFrom = environment("mcp-x-server")
	}, seesServers},
	{"the server's Secret as the shim's files", func(_ *servingv1.Service, p *corev1.PodSpec) { mounted(p, shim, secretVolume("mcp-x-server")) }, seesServers},
	{"the server's Secret projected for the shim", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, shim, projectedVolume(projectedSecret("mcp-x-server")))
	}, seesServers},
	{"a version of an entry's values for the registry", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "mcp-other-server-0123456789abcdef"}}
	}, badPullSecret},
	{"another entry's Secret of one version", variable(shim, "mcp-other-shim-0123456789abcdef"), badVariable},
	{"another entry's Secret for the registry", func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "mcp-other-server"}}
	}, badPullSecret},

	{"the node's files", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}})
	}, badVolumeType},
	{"a volume of csi", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io",
			NodePublishSecretRef: &corev1.LocalObjectReference{Name: "mcp-other-shim"}}})
	}, badVolumeType},
	{"somebody's claim", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}})
	}, badVolumeType},
	{"a service account's token", func(_ *servingv1.Service, p *corev1.PodSpec) {
		mounted(p, server, projectedVolume(corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}))
	}, badSource},
	{"another account", func(_ *servingv1.Service, p *corev1.PodSpec) { p.ServiceAccountName = "admin" }, badAccount},
	{"the account's token", func(_ *servingv1.Service, p *corev1.PodSpec) { *p.AutomountServiceAccountToken = true }, badToken},
	{"the account's token, unsaid", func(_ *servingv1.Service, p *corev1.PodSpec) { p.AutomountServiceAccountToken = nil }, badToken},
	{"the node's network", func(_ *servingv1.Service, p *corev1.PodSpec) { p.HostNetwork = true }, badNode},
	{"the node's processes", func(_ *servingv1.Service, p *corev1.PodSpec) { p.HostPID = true }, badNode},
	{"the node's IPC", func(_ *servingv1.Service, p *corev1.PodSpec) { p.HostIPC = true }, badNode},
	{"processes that see each other", func(_ *servingv1.Service, p *corev1.PodSpec) { p.ShareProcessNamespace = new(true) }, badProcesses},
}

func image(container int, name string) func(*servingv1.Service, *corev1.PodSpec) {
	return func(_ *servingv1.Service, p *corev1.PodSpec) { p.Containers[container].Image = name }
}

func variable(container int, secret string) func(*servingv1.Service, *corev1.PodSpec) {
	return func(_ *servingv1.Service, p *corev1.PodSpec) {
		p.Containers[container].Env = []corev1.EnvVar{secretVariable(secret)}
	}
}

// TestKnativeAdmits sees Knative's own admission accept what ours does: a Service that only one of them accepts never runs.
func TestKnativeAdmits(t *testing.T) {
	for _, tt := range services {
		if tt.refused != "" {
			continue
		}
		s := goodService()
		tt.change(s, &s.Spec.Template.Spec.PodSpec)
		ctx := apis.WithinCreate(context.Background())
		s.SetDefaults(ctx)
		if err := s.Validate(ctx); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
