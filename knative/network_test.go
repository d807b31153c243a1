package knative

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"mcpgateway/internal/egress"
)

func parsed(t *testing.T, text string) []egress.Rule {
	t.Helper()
	rules, err := egress.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// What is open is what a rule opens (package config evaluates it together with the namespace's policies).
func TestMakeNetworkPolicy(t *testing.T) {
	p := MakeNetworkPolicy("n", "github", parsed(t, "10.0.0.0/8 80 8080, 100.64.0.0/10 443"))
	if p.Name != "mcp-github" || p.Namespace != "n" || p.Labels[labelManager] != manager || p.Labels[labelServer] != "github" {
		t.Errorf("it is %+v", p.ObjectMeta)
	}
	if diff := cmp.Diff(map[string]string{labelServer: "github"}, p.Spec.PodSelector.MatchLabels); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]networkingv1.PolicyType{"Egress"}, p.Spec.PolicyTypes); diff != "" || p.Spec.Ingress != nil {
		t.Errorf("it is for %v and lets in %v", p.Spec.PolicyTypes, p.Spec.Ingress)
	}
	var got []string
	for _, r := range p.Spec.Egress {
		text := r.To[0].IPBlock.CIDR + " without " + strings.Join(r.To[0].IPBlock.Except, " ")
		for _, port := range r.Ports {
			text += " " + string(*port.Protocol) + port.Port.String()
		}
		got = append(got, text)
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8 without  TCP80 TCP8080", "100.64.0.0/10 without 100.100.100.200/32 TCP443"}, got); diff != "" {
		t.Error(diff)
	}
	if none := MakeNetworkPolicy("n", "github", nil); len(none.Spec.Egress) != 0 || len(none.Spec.PolicyTypes) != 1 {
		t.Errorf("without rules it opens %v", none.Spec)
	}
}

// What is there as it should be is not written; what anybody changed is.
func TestSetEgress(t *testing.T) {
	h := newHome(t)
	set := func(text string, want ...string) {
		t.Helper()
		if err := h.SetEgress(t.Context(), "github", parsed(t, text)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, h.writes()); diff != "" {
			t.Error(diff)
		}
	}
	live := func() *networkingv1.NetworkPolicy {
		t.Helper()
		p, err := h.kube.NetworkingV1().NetworkPolicies("mcp-servers").Get(t.Context(), "mcp-github", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const written = "patch networkpolicies"
	set("140.82.112.0/20 443", written)
	set("140.82.112.0/20 443")
	set("140.82.112.0/20 443, 10.0.0.0/8 80", written)
	set("public", written) // nothing
	set("public")
	set("140.82.112.0/20 443", written)
	for name, change := range map[string]func(*networkingv1.NetworkPolicySpec){
		"another network": func(s *networkingv1.NetworkPolicySpec) { s.Egress[0].To[0].IPBlock.CIDR = "0.0.0.0/0" },
		"everywhere": func(s *networkingv1.NetworkPolicySpec) {
			s.Egress = append(s.Egress, networkingv1.NetworkPolicyEgressRule{})
		},
		"other pods": func(s *networkingv1.NetworkPolicySpec) { s.PodSelector.MatchLabels[labelServer] = "other" },
		"no type":    func(s *networkingv1.NetworkPolicySpec) { s.PolicyTypes = []networkingv1.PolicyType{"Ingress"} },
	} {
		p := live()
		change(&p.Spec)
		if err := h.kube.Tracker().Update(networkingv1.SchemeGroupVersion.WithResource("networkpolicies"), p, p.Namespace); err != nil {
			t.Fatal(err)
		}
		set("140.82.112.0/20 443", written)
		want := MakeNetworkPolicy("mcp-servers", "github", []egress.Rule{{Net: netip.MustParsePrefix("140.82.112.0/20"), Ports: []uint16{443}}})
		if got := live(); !sameEgress(got.Spec, want.Spec) {
			t.Errorf("%s: left is %+v", name, got.Spec)
		}
	}
	strangers := live()
	delete(strangers.Labels, labelManager)
	h = newHome(t, strangers)
	if err := h.SetEgress(t.Context(), "github", nil); err == nil || !strings.Contains(err.Error(), "is not ours") || h.writes() != nil {
		t.Errorf("somebody else's is changed: %v", err)
	}
}

// What a server had goes when the catalog does not have it, and nothing of it is left.
func TestRetain(t *testing.T) {
	finishing := deployed(t, golden(t, "container.shared.none"))
	objects := []runtime.Object{finishing}
	for _, id := range []string{"kept", "gone", finishing.Labels[labelServer]} {
		objects = append(objects, MakeRules("mcp-servers", id, nil), MakeNetworkPolicy("mcp-servers", id, nil))
	}
	operators, strangers := MakeRules("mcp-servers", "gone", nil), MakeNetworkPolicy("mcp-servers", "other", nil)
	operators.Name = "of-an-operator"
	delete(strangers.Labels, labelManager)
	h := newHome(t, append(objects, operators, strangers)...)
	if err := h.Retain(t.Context(), []string{"kept"}); err != nil {
		t.Fatal(err)
	}
	var removed []string
	for _, a := range h.kube.Actions() {
		if d, ok := a.(interface{ GetName() string }); ok && a.GetVerb() == "delete" {
			removed = append(removed, a.GetResource().Resource+" "+d.GetName())
		}
	}
	if diff := cmp.Diff([]string{"configmaps mcp-gone-rules", "networkpolicies mcp-gone"}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}
