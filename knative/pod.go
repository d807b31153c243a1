package knative

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mcpgateway/internal/deploy"
)

// Where a container finds what it is given.
const (
	socketsPath = "/run/sockets/"
	secretsPath = "/run/secrets/"
	mountsPath  = "/etc/mounts/"
	statePath   = "/run/state"
	scratchPath = "/tmp"
	rulesFile   = "rules"
)

// How much containers may write.
var (
	scratchLimit = resource.MustParse("128Mi")
	stateLimit   = resource.MustParse("256Mi")
	socketLimit  = resource.MustParse("64Ki")
)

// pod is a pod under construction.
type pod struct {
	settings Settings
	server   string
	spec     corev1.PodSpec
	volumes  map[string]corev1.Volume
	ports    map[string]string // of each unit
	tokens   string            // the Secret with the shim's tokens
}

// makePod makes the pod of a plan: a container for each unit, which sees only what its unit names.
func makePod(p deploy.Plan, s Settings) (corev1.PodSpec, error) {
	made := pod{settings: s, server: p.Server, volumes: map[string]corev1.Volume{}, ports: map[string]string{},
		spec: corev1.PodSpec{AutomountServiceAccountToken: new(bool), EnableServiceLinks: new(bool)}}
	var err error
	if made.tokens, _, err = tokensOf(p, s); err != nil {
		return made.spec, err
	}
	for _, u := range p.Units {
		if u.Image == "" {
			return made.spec, fmt.Errorf("%s runs a program of the operator's machine; a cluster needs a container, or a package", u.Name)
		}
		if u.Port > 0 {
			made.ports[u.Name] = strconv.Itoa(u.Port)
		}
	}
	for _, u := range p.Units {
		c, err := made.container(u)
		if err != nil {
			return corev1.PodSpec{}, fmt.Errorf("%s: %w", u.Name, err)
		}
		made.spec.Containers = append(made.spec.Containers, c)
		if u.ImagePullSecret != "" {
			made.spec.ImagePullSecrets = append(made.spec.ImagePullSecrets, corev1.LocalObjectReference{Name: u.ImagePullSecret})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made.volumes)) { // in one order: the same plan is the same pod
		made.spec.Volumes = append(made.spec.Volumes, made.volumes[name])
	}
	return made.spec, nil
}

func (p *pod) container(u deploy.Unit) (c corev1.Container, err error) {
	c = corev1.Container{Name: u.Name, SecurityContext: restricted(u)}
	if c.Image, err = p.image(u); err != nil {
		return c, err
	}
	if c.Resources, err = resources(u.Limits); err != nil {
		return c, err
	}
	places := deploy.Places{Shim: deploy.ImageShimPath, Port: p.ports[u.Name], Ports: p.ports, Sockets: map[string]string{}, Mounts: map[string]string{}}
	if u.Package != nil {
		places.Package = deploy.ImageProgramPath
	}
	p.mount(&c, "scratch-"+u.Name, scratchPath, emptyDir(corev1.StorageMediumDefault, scratchLimit))
	if u.Role == deploy.RoleShim {
		p.serve(&c, u, &places)
	}
	for _, name := range u.Sockets {
		p.mount(&c, "socket-"+name, socketsPath+name, emptyDir(corev1.StorageMediumMemory, socketLimit))
		places.Sockets[name] = socketsPath + name + "/socket"
	}
	for _, m := range u.Mounts {
		if m.Name != rulesFile {
			return c, fmt.Errorf("nothing is known of a mount %q", m.Name)
		}
		p.mount(&c, m.Name, mountsPath+m.Name, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: rulesName(p.server)}}})
		places.Mounts[m.Name] = mountsPath + m.Name + "/" + m.File
	}
	for i, s := range u.Secrets {
		if !s.Shared { // serve has it
			p.secret(&c, fmt.Sprintf("secret-%s-%d", u.Name, i), s)
		}
	}
	return c, fill(&c, u, places)
}

// serve makes a container the one that receives the pod's traffic.
func (p *pod) serve(c *corev1.Container, u deploy.Unit, places *deploy.Places) {
	port := p.ports[u.Name]
	places.Listen, places.State = ":"+port, statePath
	p.secret(c, "secret-gateway", deploy.Secret{Store: shimStore(p.server), Key: deploy.KeyGateway, File: "SHIM_GATEWAY_KEY_FILE", Generate: true})
	p.mount(c, "state", statePath, emptyDir(corev1.StorageMediumDefault, stateLimit))
	c.Ports = []corev1.ContainerPort{{ContainerPort: int32(u.Port)}}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: u.Probe.Path, Port: intstr.FromInt32(int32(u.Port))}}}
}

// image is the reference of a unit's image.
func (p *pod) image(u deploy.Unit) (string, error) {
	switch {
	case u.Package != nil:
		if image := p.settings.Packages[*u.Package]; image != "" {
			return image, nil
		}
		return "", fmt.Errorf("the lock file has no image for package %s; mcpgateway bake makes it", u.Package.Name)
	case u.Image == deploy.ImageShim || u.Image == deploy.ImageNode || u.Image == deploy.ImagePython:
		if image := p.settings.Images[u.Image]; image != "" {
			return image, nil
		}
		return "", fmt.Errorf("deployer.knative.images has no %s", u.Image)
	}
	return u.Image, nil
}

// secret gives a container one key of a Secret, and no other key of it.
func (p *pod) secret(c *corev1.Container, volume string, s deploy.Secret) {
	if pinned := p.settings.Pinned[s.Store]; pinned != "" && !s.Generate {
		s.Store = pinned
	}
	if s.Token != "" {
		s.Store = p.tokens
	}
	if s.Env != "" {
		c.Env = append(c.Env, corev1.EnvVar{Name: s.Env, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.Store}, Key: s.Key}}})
		return
	}
	p.mount(c, volume, secretsPath+s.Key, corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: s.Store, Items: []corev1.KeyToPath{{Key: s.Key, Path: s.Key}}}})
	c.Env = append(c.Env, corev1.EnvVar{Name: s.File, Value: secretsPath + s.Key + "/" + s.Key})
}

func (p *pod) mount(c *corev1.Container, name, path string, source corev1.VolumeSource) {
	p.volumes[name] = corev1.Volume{Name: name, VolumeSource: source}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path,
		ReadOnly: source.EmptyDir == nil})
}

func emptyDir(medium corev1.StorageMedium, limit resource.Quantity) corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium, SizeLimit: &limit}}
}

// fill writes commands and variables with the places that the container has.
func fill(c *corev1.Container, u deploy.Unit, places deploy.Places) (err error) {
	if c.Command, err = expand(places, u.Command); err != nil {
		return err
	}
	if c.Args, err = expand(places, u.Args); err != nil {
		return err
	}
	home := corev1.EnvVar{Name: "HOME", Value: scratchPath} // the only place that can be written
	if u.Role == deploy.RoleServer && !slices.ContainsFunc(u.Env, func(v deploy.EnvVar) bool { return v.Name == home.Name }) {
		c.Env = append(c.Env, home)
	}
	for _, v := range u.Env {
		value, err := places.Expand(v.Value)
		if err != nil {
			return err
		}
		c.Env = append(c.Env, corev1.EnvVar{Name: v.Name, Value: literal(value)})
	}
	return nil
}

func expand(places deploy.Places, words []string) (expanded []string, err error) {
	for _, word := range words {
		text, err := places.Expand(word)
		if err != nil {
			return nil, err
		}
		expanded = append(expanded, literal(text))
	}
	return expanded, nil
}

// literal has the kubelet take a text as it is: it replaces $(NAME), and $$ stands for one $
// (Kubernetes 1.35, Container.command).
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// restricted is what the strictest Pod Security level asks for, and a root that cannot be written.
func restricted(u deploy.Unit) *corev1.SecurityContext {
	yes, no, user := true, false, int64(deploy.ImageUser)
	c := &corev1.SecurityContext{
		RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	// An image of ours; others have users of their own. Containers share neither files nor processes; that ours share a
	// number lets shim, bridge and converters use the sockets between them, which only their owner may.
	if len(u.Command) > 0 {
		c.RunAsUser = &user
	}
	return c
}

// What a unit is sure to get, as a part of its limits. A server that waits for calls needs little. Processor time that nobody
// claims goes to whoever wants it, so a claim only keeps others off the node: two cores take 25 servers at once.
const (
	cpuPart    = 100
	memoryPart = 4
)

// resources are a unit's limits and claims.
func resources(r deploy.Resources) (corev1.ResourceRequirements, error) {
	limits, requests := corev1.ResourceList{}, corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: r.CPU, corev1.ResourceMemory: r.Memory} {
		if text == "" {
			continue
		}
		limit, err := resource.ParseQuantity(text)
		if err != nil {
			return corev1.ResourceRequirements{}, fmt.Errorf("%s %q: %w", name, text, err)
		}
		limits[name] = limit
		if name == corev1.ResourceCPU {
			requests[name] = *resource.NewMilliQuantity(max(1, limit.MilliValue()/cpuPart), resource.DecimalSI)
		} else {
			requests[name] = *resource.NewQuantity(limit.Value()/memoryPart, resource.BinarySI)
		}
	}
	return corev1.ResourceRequirements{Limits: limits, Requests: requests}, nil
}
