package knative

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mcpgateway/internal/egress"
)

// networkName names the NetworkPolicy of a server.
func networkName(server string) string { return "mcp-" + server }

// MakeNetworkPolicy makes what lets the pods of all instances of a server out to what its rules open, over TCP, and nowhere
// without any. Policies add up: how names are resolved, and who comes in, others say (config/network-servers.yaml). A
// special range, such as private addresses, is open where a rule's network lies inside it, as with the shim's own guard.
func MakeNetworkPolicy(namespace, server string, rules []egress.Rule) *networkingv1.NetworkPolicy {
	policy := &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: networkName(server), Namespace: namespace,
			Labels: map[string]string{labelManager: manager, labelServer: server}},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{labelServer: server}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}
	for _, r := range rules {
		policy.Spec.Egress = append(policy.Spec.Egress, makeEgressRule(r))
	}
	return policy
}

func makeEgressRule(r egress.Rule) networkingv1.NetworkPolicyEgressRule {
	tcp := corev1.ProtocolTCP
	block := &networkingv1.IPBlock{CIDR: r.Net.String()}
	for _, closed := range r.Closed() {
		block.Except = append(block.Except, closed.String())
	}
	made := networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: block}}}
	for _, p := range r.Ports {
		port := intstr.FromInt32(int32(p))
		made.Ports = append(made.Ports, networkingv1.NetworkPolicyPort{Protocol: &tcp, Port: &port})
	}
	return made
}

// SetEgress has the pods of all instances of a server reach what rules open, those that run already too.
func (d *Deployer) SetEgress(ctx context.Context, server string, rules []egress.Rule) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	want := MakeNetworkPolicy(d.settings.Namespace, server, rules)
	policies := d.kube.NetworkingV1().NetworkPolicies(want.Namespace)
	live, err := policies.Get(ctx, want.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case live.Labels[labelManager] != manager:
		return fmt.Errorf("NetworkPolicy %s is not ours: it lacks the label %s=%s", want.Name, labelManager, manager)
	case sameEgress(live.Spec, want.Spec):
		return nil
	}
	text, err := applied(want)
	if err != nil {
		return err
	}
	if _, err := policies.Patch(ctx, want.Name, applyPatch, text, applyOptions); err != nil {
		return err
	}
	d.log.Info("egress changed", "server", server, "networks", len(rules))
	return nil
}

// sameEgress compares all that we say, so that a change by anybody else is undone. What they add besides, a way in, has no
// effect without its type.
func sameEgress(a, b networkingv1.NetworkPolicySpec) bool {
	a.Ingress, b.Ingress = nil, nil
	return equality.Semantic.DeepEqual(a, b)
}

// Retain removes the rules and the NetworkPolicies of servers that are not named and of which no service is left, and what
// has Secrets of versions that no revision has any more. Other Secrets stay: nobody but an operator may delete one.
func (d *Deployer) Retain(ctx context.Context, servers []string) error {
	keep := map[string]bool{}
	for _, s := range servers {
		keep[s] = true
	}
	services, err := d.serving.ServingV1().Services(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return err
	}
	for _, s := range services.Items {
		keep[s.Labels[labelServer]] = true // its pods may be finishing
	}
	maps, policies := d.kube.CoreV1().ConfigMaps(d.settings.Namespace), d.kube.NetworkingV1().NetworkPolicies(d.settings.Namespace)
	rules, err := maps.List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return err
	}
	networks, err := policies.List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return err
	}
	var problems []error
	forget := func(o metav1.ObjectMeta, name func(string) string, remove func(context.Context, string, metav1.DeleteOptions) error) {
		server := o.Labels[labelServer]
		if keep[server] || o.Name != name(server) {
			return
		}
		if err := remove(ctx, o.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID}}); err != nil && !apierrors.IsNotFound(err) {
			problems = append(problems, fmt.Errorf("remove %s: %w", o.Name, err))
			return
		}
		d.log.Info("removed", "server", server, "object", o.Name)
	}
	for _, o := range rules.Items {
		forget(o.ObjectMeta, rulesName, maps.Delete)
	}
	for _, o := range networks.Items {
		forget(o.ObjectMeta, networkName, policies.Delete)
	}
	return errors.Join(append(problems, d.release(ctx))...)
}
