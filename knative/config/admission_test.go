package config

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// What the policies for the deployer's other objects say.
const (
	badOwner     = "the labels mcpgateway.dev/server and app.kubernetes.io/managed-by must say whose it is"
	badOtherName = "name must be mcp-<id>-shim or mcp-<id>-shim-<16 hex digits> of a Secret, mcp-<id>-rules of a ConfigMap, mcp-<id> of a NetworkPolicy"
	badType      = "a Secret's type must be Opaque"
	badSelector  = "podSelector must name the entry by the label mcpgateway.dev/server"
	badIngress   = "ingress must be empty"
	badEgress    = "egress must be to an ipBlock in each of its rules"
	badLinkLocal = "egress must except link-local addresses"
)

// write is a request that admission decides on.
type write struct {
	name    string
	by      string // deployer, operator, knative, somebody
	verb    string // create, apply, delete
	object  runtime.Object
	refused string // what the policy says; "" where it is admitted
}

// rig is a cluster and who asks it.
type rig struct {
	cluster
	clients map[string]dynamic.Interface
}

// fixtures are objects that are there before: a Service of the deployer's, and objects of the operator's.
func fixtures() []runtime.Object {
	seen := goodService()
	seen.Name, seen.Labels[labelOwner] = "mcp-x-00000000000000aa", "00000000000000aa"
	return []runtime.Object{seen,
		&corev1.ConfigMap{TypeMeta: kind("v1", "ConfigMap"), ObjectMeta: metav1.ObjectMeta{Name: "notes", Namespace: servers}},
		// What the deployer may not write: it lets somebody in, though to no pod here.
		&networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: metav1.ObjectMeta{Name: "monitoring", Namespace: servers},
			Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"test": "none"}},
				Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}},
		changed(githubEgress(), func(p *networkingv1.NetworkPolicy) {
			own(p, "seen")
			p.Spec.PodSelector.MatchLabels[labelServer] = "seen"
		}),
		version("seen", "shim"), operatorsExternalSecret(),
	}
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

func changed[T any](object *T, change func(*T)) *T {
	change(object)
	return object
}

// own gives an object the name and labels of an entry, as the deployer does.
func own(o metav1.Object, id string) {
	suffix := map[string]string{"*v1.Secret": "-shim", "*v1.ConfigMap": "-rules"}[fmt.Sprintf("%T", o)]
	o.SetName("mcp-" + id + suffix)
	o.SetNamespace(servers)
	o.SetLabels(map[string]string{labelServer: id, labelManager: "mcpgateway"})
}

func secret(change func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{TypeMeta: kind("v1", "Secret"), Data: map[string][]byte{"seal": []byte("0123")}}
	own(s, "x")
	change(s)
	return s
}

func configMap(change func(*corev1.ConfigMap)) *corev1.ConfigMap {
	m := &corev1.ConfigMap{TypeMeta: kind("v1", "ConfigMap"), Data: map[string]string{"rules": "{}"}}
	own(m, "x")
	change(m)
	return m
}

func egressTo(blocks ...networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
	return changed(githubEgress(), func(p *networkingv1.NetworkPolicy) { p.Spec.Egress[0].To = blocks })
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

// writes are all requests that are tried, those of Services by each of writers.
func writes(writers ...string) []write {
	var all []write
	for _, s := range services {
		object := goodService()
		s.change(object, &object.Spec.Template.Spec.PodSpec)
		for _, by := range writers {
			all = append(all, write{name: s.name, by: by, verb: "apply", object: object, refused: s.refused})
		}
	}
	foreign := goodService()
	foreign.Spec.Template.Spec.Containers[server].Image = "busybox"
	seen := fixtures()[0].DeepCopyObject().(*servingv1.Service)
	seen.Spec.Template.Spec.Containers[server].Image = "busybox"
	return append(append(all,
		write{"not by server-side apply", "deployer", "create", foreign, badImage},
		write{"a change of one that was good", "deployer", "apply", seen, badImage},
		write{"Knative finishes with one that is good no more", "knative", "apply", seen, ""},
	), append(objectWrites(), externalSecretWrites()...)...)
}

// objectWrites are those of other kinds than Services.
func objectWrites() []write {
	noMonitoring := fixtures()[2]
	return []write{
		{"its Secret", "deployer", "create", secret(func(*corev1.Secret) {}), ""},
		{"its tokens' Secret", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp-x-shim-0123456789abcdef" }), ""},
		{"another entry's tokens", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp-y-shim-0123456789abcdef" }), badOtherName},
		{"a Secret named like tokens", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp-x-shim-0123456789abcdef-shim" }), badOtherName},
		{"the operator's Secret", "operator", "create", secret(func(s *corev1.Secret) { s.Name, s.Labels = "registry", nil }), ""},
		{"a Secret without the manager's label", "deployer", "create", secret(func(s *corev1.Secret) { delete(s.Labels, labelManager) }), badOwner},
		{"a Secret of no entry", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp--shim"; delete(s.Labels, labelServer) }), badOwner},
		{"the operator's part of an entry", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp-x-server" }), badOtherName},
		{"another entry's Secret", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "mcp-y-shim" }), badOtherName},
		{"a registry's credential", "deployer", "create", secret(func(s *corev1.Secret) { s.Name = "registry" }), badOtherName},
		{"a Secret that the cluster fills", "deployer", "create", secret(func(s *corev1.Secret) {
			s.Type, s.Annotations = corev1.SecretTypeServiceAccountToken, map[string]string{corev1.ServiceAccountNameKey: "mcp-server"}
		}), badType},

		{"its rules", "deployer", "apply", configMap(func(*corev1.ConfigMap) {}), ""},
		{"somebody's ConfigMap", "somebody", "create", configMap(func(m *corev1.ConfigMap) { m.Name, m.Labels = "kube-root-ca.crt", nil }), ""},
		{"another ConfigMap", "deployer", "apply", configMap(func(m *corev1.ConfigMap) { m.Name = "mcp-x" }), badOtherName},
		{"a change of the operator's ConfigMap", "deployer", "apply", configMap(func(m *corev1.ConfigMap) { m.Name = "notes" }), badOtherName},
		{"the end of the operator's ConfigMap", "deployer", "delete", configMap(func(m *corev1.ConfigMap) { m.Name = "notes" }), badOwner},

		{"an entry's egress", "deployer", "apply", githubEgress(), ""},
		{"all of the internet", "deployer", "apply", egressTo(block("0.0.0.0/0", "169.254.0.0/16", "10.0.0.0/8"),
			block("::/0", "fe80::/10", "fd00:ec2::254/128")), ""},
		{"an entry that may be at any public address", "deployer", "apply", webEgress(), ""},
		{"an entry that reaches all private addresses", "deployer", "apply", opened("ledger", to("10.0.0.0/8", 443), to("fc00::/7", 443), to("168.0.0.0/5", 443)), ""},
		{"an entry without egress", "deployer", "apply", opened("jira"), ""},
		{"the end of an entry's egress", "deployer", "delete", fixtures()[3], ""},
		{"somebody's NetworkPolicy", "somebody", "create", changed(noMonitoring.DeepCopyObject().(*networkingv1.NetworkPolicy),
			func(p *networkingv1.NetworkPolicy) { p.Name = "more" }), ""},
		{"the operator's NetworkPolicy", "operator", "apply", noMonitoring, ""},
		{"the end of the operator's NetworkPolicy", "deployer", "delete", noMonitoring, badOwner},
		{"another name of a NetworkPolicy", "deployer", "apply", changed(githubEgress(), func(p *networkingv1.NetworkPolicy) { p.Name = "default-deny" }), badOtherName},
		{"a new NetworkPolicy of another name", "deployer", "create", changed(githubEgress(), func(p *networkingv1.NetworkPolicy) { p.Name = "mcp-github-more" }), badOtherName},
		{"egress of another entry", "deployer", "apply", changed(githubEgress(), func(p *networkingv1.NetworkPolicy) {
			p.Spec.PodSelector.MatchLabels[labelServer] = "jira"
		}), badSelector},
		{"egress of all entries", "deployer", "apply", changed(githubEgress(), func(p *networkingv1.NetworkPolicy) {
			p.Spec.PodSelector = metav1.LabelSelector{}
		}), badSelector},
		{"a way in", "deployer", "apply", changed(githubEgress(), func(p *networkingv1.NetworkPolicy) {
			p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		}), badIngress},
		{"a way in, by change", "deployer", "apply", changed(fixtures()[3].(*networkingv1.NetworkPolicy), func(p *networkingv1.NetworkPolicy) {
			p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
		}), badIngress},
		{"egress to everywhere", "deployer", "apply", egressTo(), badEgress},
		{"egress to pods", "deployer", "apply", egressTo(block("140.82.112.0/20"), networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}), badEgress},
		{"the cloud's credentials", "deployer", "apply", egressTo(block("169.254.169.254/32")), badLinkLocal},
		{"the cloud's credentials among others", "deployer", "apply", egressTo(block("140.82.112.0/20"), block("0.0.0.0/0")), badLinkLocal},
		{"the cloud's credentials in half of the internet", "deployer", "apply", egressTo(block("128.0.0.0/1", "169.254.169.254/32")), badLinkLocal},
		{"the cloud's credentials over IPv6", "deployer", "apply", egressTo(block("::/0", "fe80::/10")), badLinkLocal},
		{"the node over IPv6", "deployer", "apply", egressTo(block("fe80::/64")), badLinkLocal},
	}
}

// plurals are resources by their kinds.
var plurals = map[string]string{"Service": "services", "Secret": "secrets", "ConfigMap": "configmaps", "NetworkPolicy": "networkpolicies",
	"ExternalSecret": "externalsecrets"}

// send asks as if in earnest; the API server decides all and keeps nothing.
func (r rig) send(t *testing.T, w write) error {
	t.Helper()
	object := toMap(t, w.object)
	at := r.clients[w.by].Resource(resource(plurals[object.GetKind()])).Namespace(servers)
	dry, err := []string{metav1.DryRunAll}, error(nil)
	switch w.verb {
	case "create":
		_, err = at.Create(t.Context(), object, metav1.CreateOptions{DryRun: dry})
	case "apply":
		text, failed := json.Marshal(object)
		if failed != nil {
			t.Fatal(failed)
		}
		force := true
		_, err = at.Patch(t.Context(), object.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{DryRun: dry, FieldManager: "mcpgateway-deployer", Force: &force})
	case "delete":
		err = at.Delete(t.Context(), object.GetName(), metav1.DeleteOptions{DryRun: dry})
	}
	return err
}

// outcome is what the policy said, "" where it was admitted, and any other error as it is.
func (r rig) outcome(t *testing.T, w write) string {
	t.Helper()
	err := r.send(t, w)
	if err == nil {
		return ""
	}
	_, said, denied := strings.Cut(err.Error(), "denied request: ")
	if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || !denied {
		return err.Error()
	}
	return said
}

// differing lists the writes that end other than they should.
func (r rig) differing(t *testing.T, all []write) string {
	t.Helper()
	var found []string
	for _, w := range all {
		if got := r.outcome(t, w); got != w.refused {
			found = append(found, fmt.Sprintf("%s, %s by the %s: %q, want %q", w.name, w.verb, w.by, got, w.refused))
		}
	}
	return strings.Join(found, "\n")
}

// newRig makes the fixtures, and somebody who may write ConfigMaps, NetworkPolicies and ExternalSecrets only.
func newRig(t *testing.T) rig {
	t.Helper()
	c := connect(t)
	r := rig{cluster: c, clients: map[string]dynamic.Interface{
		"deployer": client(t, c.account(t, "deployer")), "operator": client(t, c.operator),
		"knative":  client(t, c.as("system:serviceaccount:knative-serving:controller", "system:masters")),
		"somebody": client(t, c.as("test-somebody")),
	}}
	meta := metav1.ObjectMeta{Name: "test-somebody", Namespace: servers}
	rbac, ctx := c.kube.RbacV1(), context.Background()
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"", "networking.k8s.io", "external-secrets.io"}, Resources: []string{"configmaps", "networkpolicies", "externalsecrets"}, Verbs: []string{"create"}}}
	if _, err := rbac.Roles(servers).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rbac.Roles(servers).Delete(ctx, meta.Name, metav1.DeleteOptions{}) })
	binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: meta.Name}}}
	if _, err := rbac.RoleBindings(servers).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rbac.RoleBindings(servers).Delete(ctx, meta.Name, metav1.DeleteOptions{}) })
	for _, object := range fixtures() {
		o := toMap(t, object)
		at := r.clients["operator"].Resource(resource(plurals[o.GetKind()])).Namespace(servers)
		if _, err := at.Create(ctx, o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = at.Delete(ctx, o.GetName(), metav1.DeleteOptions{}) })
	}
	return r
}

// TestAdmission tries all writes, then takes away each part of each policy in turn: some write must end differently, and
// where the part is a validation, one that only this validation refused is admitted.
func TestAdmission(t *testing.T) {
	r := newRig(t)
	everybodys, all := writes("deployer", "operator"), writes("deployer")
	eventually(t, func() string { return r.differing(t, everybodys) }) // the policies may have been applied a moment ago
	for _, name := range []string{"mcp-services", "mcp-deployer-objects", "mcp-deployer-network", "mcp-deployer-secrets"} {
		r.testParts(t, name, all)
	}
}

// testParts takes away each part of a policy.
func (r rig) testParts(t *testing.T, name string, all []write) {
	t.Helper()
	policies := r.kube.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	whole, err := policies.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set := func(spec admissionv1.ValidatingAdmissionPolicySpec) {
		text, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": spec}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policies.Patch(context.Background(), name, types.JSONPatchType, text, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { set(whole.Spec) })
	for part, without := range policyParts(whole.Spec) {
		set(without.spec)
		var noticed []string
		eventually(t, func() (still string) {
			noticed, still = r.noticing(t, all, without.message)
			return unless(still == "" && len(noticed) > 0, fmt.Sprintf("%s: %s is gone, and %q", name, part, still))
		})
		t.Logf("%s without %s: %s", name, part, strings.Join(noticed, "; "))
		set(whole.Spec)
		eventually(t, func() string { return r.differing(t, all) })
	}
}

// noticing lists the writes that end other than they should. Where message is given, it looks at those only that it
// refused, and names one that it refuses still.
func (r rig) noticing(t *testing.T, all []write, message string) (found []string, still string) {
	t.Helper()
	for _, w := range all {
		if message != "" && w.refused != message {
			continue
		}
		got := r.outcome(t, w)
		if message != "" && got == message {
			still = w.name
		}
		if message != "" && got == "" || message == "" && got != w.refused {
			found = append(found, w.name)
		}
	}
	return found, still
}

// lessPolicy is a policy without a part; message is what the part says.
type lessPolicy struct {
	spec    admissionv1.ValidatingAdmissionPolicySpec
	message string
}

// policyParts are a policy's validations, conditions and operations.
func policyParts(whole admissionv1.ValidatingAdmissionPolicySpec) map[string]lessPolicy {
	all := map[string]lessPolicy{}
	for i, v := range whole.Validations {
		spec := *whole.DeepCopy()
		spec.Validations = cut(spec.Validations, i)
		all[fmt.Sprintf("validation %q", v.Message)] = lessPolicy{spec, v.Message}
	}
	for i, m := range whole.MatchConditions {
		spec := *whole.DeepCopy()
		spec.MatchConditions = cut(spec.MatchConditions, i)
		all["condition "+m.Name] = lessPolicy{spec: spec}
	}
	for i, r := range whole.MatchConstraints.ResourceRules {
		for j, operation := range r.Operations {
			spec := *whole.DeepCopy()
			rule := &spec.MatchConstraints.ResourceRules[i]
			rule.Operations = cut(rule.Operations, j)
			all[fmt.Sprintf("%s of %s", operation, r.Resources)] = lessPolicy{spec: spec}
		}
	}
	return all
}

// TestMessages sees, without a cluster, that each validation has a write that it refuses, and each refusal a validation.
func TestMessages(t *testing.T) {
	refusals, validations := map[string]bool{}, map[string]bool{}
	for _, w := range writes("deployer") {
		if w.refused != "" {
			refusals[w.refused] = true
		}
	}
	for _, o := range manifests(t) {
		if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok {
			for _, v := range p.Spec.Validations {
				validations[v.Message] = true
			}
		}
	}
	if want, got := slices.Sorted(maps.Keys(validations)), slices.Sorted(maps.Keys(refusals)); !slices.Equal(want, got) {
		t.Errorf("validations say\n%q\nwrites are refused by\n%q", want, got)
	}
}
