package config

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mcpgateway/internal/egress"
	"mcpgateway/knative"
)

// The test cluster's network does not enforce NetworkPolicies, so this file evaluates them, by the documentation of
// networking.k8s.io/v1: https://kubernetes.io/docs/concepts/services-networking/network-policies/.

// end is one end of a connection: a pod, or an address outside the cluster where namespace is empty.
type end struct {
	namespace string
	labels    labels.Set
	address   string
}

var (
	github    = end{"mcp-servers", labels.Set{labelServer: "github"}, "10.244.0.10"}
	jira      = end{"mcp-servers", labels.Set{labelServer: "jira"}, "10.244.0.11"}
	gateway   = end{"mcp-system", labels.Set{"app.kubernetes.io/name": "gateway"}, "10.244.0.20"}
	deployer  = end{"mcp-system", labels.Set{"app.kubernetes.io/name": "deployer"}, "10.244.0.21"}
	lodger    = end{"mcp-system", labels.Set{"app.kubernetes.io/name": "lodger"}, "10.244.0.22"}
	activator = end{"knative-serving", labels.Set{"app": "activator"}, "10.244.0.30"}
	ingress   = end{"kourier-system", labels.Set{"app": "3scale-kourier-gateway"}, "10.244.0.31"}
	dns       = end{"kube-system", labels.Set{"k8s-app": "kube-dns"}, "10.244.0.32"}
	kubeOther = end{"kube-system", labels.Set{"k8s-app": "metrics-server"}, "10.244.0.33"}
	tenant    = end{"default", labels.Set{"app": "tenant"}, "10.244.0.40"}
	internet  = end{address: "93.184.215.14"}
	internet6 = end{address: "2606:4700::7"}
	web       = end{"mcp-servers", labels.Set{labelServer: "web"}, "10.244.0.12"}
	ledger    = end{"mcp-servers", labels.Set{labelServer: "ledger"}, "10.244.0.13"}
	hub       = end{address: "140.82.112.5"}
	store     = end{address: "10.1.2.3"}
	books     = end{address: "198.18.5.5"} // a special range, which is named as such
	metadata  = end{address: "169.254.169.254"}
	metadata6 = end{address: "fd00:ec2::254"}
	linkLocal = end{address: "fe80::1"}
)

// opened is the policy that the deployer writes for an entry.
func opened(id string, rules ...egress.Rule) *networkingv1.NetworkPolicy {
	return knative.MakeNetworkPolicy(servers, id, rules)
}

// githubEgress is of an entry with egress: [{cidr: 140.82.112.0/20, ports: [443]}].
func githubEgress() *networkingv1.NetworkPolicy { return opened("github", to("140.82.112.0/20", 443)) }

// webEgress is of an entry that may be at any public address.
func webEgress() *networkingv1.NetworkPolicy {
	return opened("web", to("0.0.0.0/0", 443), to("::/0", 443))
}

func to(cidr string, ports ...uint16) egress.Rule {
	return egress.Rule{Net: netip.MustParsePrefix(cidr), Ports: ports}
}

// connection is one that policies let through or do not.
type connection struct {
	name     string
	from, to end
	protocol corev1.Protocol
	port     int32
	want     bool
}

// connections say who may reach whom. A pod that no policy binds may do anything, so that ends of others' namespaces
// refuse nothing here.
var connections = append([]connection{
	{"the activator sends a call", activator, github, "TCP", 8012, true},
	{"the activator sends a call, h2c", activator, github, "TCP", 8013, true},
	{"the activator sends a call, TLS", activator, github, "TCP", 8112, true},
	{"the ingress sends a call", ingress, github, "TCP", 8012, true},
	{"the ingress sends a call, h2c", ingress, jira, "TCP", 8013, true},
	{"the ingress sends a call, TLS", ingress, jira, "TCP", 8112, true},
	{"the autoscaler counts", activator, jira, "TCP", 9090, true},
	{"the ingress counts", ingress, jira, "TCP", 9090, false},
	{"the activator goes around queue-proxy to the shim", activator, github, "TCP", 8080, false},
	{"the ingress goes around queue-proxy to a container's server", ingress, github, "TCP", 3000, false},
	{"queue-proxy over UDP", ingress, github, "UDP", 8012, false},
	{"a server calls another server", jira, github, "TCP", 8012, false},
	{"a server calls itself over the network", github, github, "TCP", 8012, false},
	{"the gateway goes around the ingress", gateway, github, "TCP", 8012, false},
	{"the deployer calls a server", deployer, github, "TCP", 8012, false},
	{"another tenant calls a server", tenant, github, "TCP", 8012, false},
	{"the internet calls a server", internet, github, "TCP", 8012, false},
	{"a pod beside the DNS calls a server", dns, github, "TCP", 8012, false},

	{"a server resolves a name", jira, dns, "UDP", 53, true},
	{"a server resolves a long name", jira, dns, "TCP", 53, true},
	{"a server asks the DNS for its metrics", jira, dns, "TCP", 9153, false},
	{"a server calls a pod beside the DNS", jira, kubeOther, "UDP", 53, false},
	{"a server with the DNS's label elsewhere", jira, end{"default", dns.labels, "10.244.0.41"}, "UDP", 53, false},
	{"a server resolves names on the internet", jira, internet, "UDP", 53, false},
	{"a server calls what its egress names", github, hub, "TCP", 443, true},
	{"a server calls another port of it", github, hub, "TCP", 22, false},
	{"a server calls the internet beyond its egress", github, internet, "TCP", 443, false},
	{"a server calls what another's egress names", jira, hub, "TCP", 443, false},
	{"a server that may be anywhere", web, hub, "TCP", 443, true},
	{"a server that may be anywhere, over IPv6", web, end{address: "2606:4700::1"}, "TCP", 443, true},
	{"a server that may be anywhere resolves a name", web, dns, "UDP", 53, true},
	{"a server that may be anywhere calls another port", web, hub, "TCP", 80, false},
	{"a server that may be anywhere calls another port over IPv6", web, internet6, "TCP", 80, false},
	{"a server that may be anywhere calls over UDP", web, hub, "UDP", 443, false},
	{"a server that may be anywhere calls another server", web, github, "TCP", 443, false},
	{"a server that may be anywhere calls the API server", web, end{address: "10.96.0.1"}, "TCP", 443, false},
	{"a server calls a private address that its egress names", ledger, store, "TCP", 5432, true},
	{"a server calls another port that its egress names", ledger, store, "TCP", 6379, true},
	{"a server calls the second network that its egress names", ledger, books, "TCP", 443, true},
	{"a server calls a port that its egress names for another network", ledger, books, "TCP", 5432, false},
	{"a server calls a private address beyond its egress", ledger, end{address: "10.2.0.1"}, "TCP", 5432, false},
	{"a server calls a private address that another's egress names", web, store, "TCP", 443, false},
	{"a server with private egress calls the internet", ledger, internet, "TCP", 443, false},
	{"a server without egress calls the internet", jira, internet, "TCP", 443, false},
	{"a server without egress calls the internet over IPv6", jira, internet6, "TCP", 443, false},
	{"a server without egress asks for the node's credentials", jira, metadata, "TCP", 80, false},
	{"a server asks for the node's credentials", github, metadata, "TCP", 80, false},
	{"a server asks for the node's credentials over IPv6", github, metadata6, "TCP", 80, false},
	{"a server calls the deployer", github, deployer, "TCP", 8080, false},
	{"a server calls the gateway", github, gateway, "TCP", 8080, false},
	{"a server calls the activator", github, activator, "TCP", 8012, false},
	{"a server calls another tenant", github, tenant, "TCP", 80, false},

	{"the internet calls the gateway", internet, gateway, "TCP", 8080, true},
	{"a tenant calls the gateway", tenant, gateway, "TCP", 8080, true},
	{"the internet calls another port of the gateway", internet, gateway, "TCP", 9090, false},
	{"the gateway asks the deployer", gateway, deployer, "TCP", 8080, true},
	{"the gateway calls another port of the deployer", gateway, deployer, "TCP", 9090, false},
	{"the internet asks the deployer", internet, deployer, "TCP", 8080, false},
	{"a tenant asks the deployer", tenant, deployer, "TCP", 8080, false},
	{"the ingress asks the deployer", ingress, deployer, "TCP", 8080, false},
	{"a lodger of the namespace asks the deployer", lodger, deployer, "TCP", 8080, false},
	{"a gateway of another namespace asks the deployer", end{"default", gateway.labels, "10.244.0.42"}, deployer, "TCP", 8080, false},
	{"the gateway calls a lodger of the namespace", gateway, lodger, "TCP", 8080, false},
	{"a tenant calls a lodger of the namespace", tenant, lodger, "TCP", 8080, false},
	{"the gateway calls the ingress", gateway, ingress, "TCP", 8443, true},
	{"the gateway asks an issuer", gateway, internet, "TCP", 443, true},
	{"the gateway asks an issuer over IPv6", gateway, internet6, "TCP", 443, true},
	{"the deployer asks an issuer", deployer, internet, "TCP", 443, true},
	{"the gateway resolves a name", gateway, dns, "UDP", 53, true},
	{"the gateway asks for the node's credentials", gateway, metadata, "TCP", 80, false},
	{"the deployer asks for the node's credentials", deployer, metadata, "TCP", 80, false},
	{"the gateway asks for the node's credentials over IPv6", gateway, metadata6, "TCP", 80, false},
	{"the deployer calls the node over IPv6", deployer, linkLocal, "TCP", 80, false},
}, specialRanges()...)

// specialRanges are connections to what is no public address, of the server that may be at any.
func specialRanges() (all []connection) {
	for _, r := range []egress.Rule{to("0.0.0.0/0", 443), to("::/0", 443)} {
		for _, closed := range r.Closed() {
			all = append(all, connection{"a server that may be anywhere calls " + closed.String(), web, end{address: closed.Addr().String()}, "TCP", 443, false})
		}
	}
	return all
}

// networkPolicies are those of this folder, and the deployer's for four entries. That of one that reaches nothing opens
// nothing.
func networkPolicies(t *testing.T) []*networkingv1.NetworkPolicy {
	t.Helper()
	policies := []*networkingv1.NetworkPolicy{githubEgress(), webEgress(), opened("jira"), opened("ledger", to("10.1.0.0/16", 5432, 6379), to("198.18.0.0/15", 443))}
	for _, o := range manifests(t) {
		if p, ok := o.(*networkingv1.NetworkPolicy); ok {
			policies = append(policies, p)
		}
	}
	return policies
}

func TestNetworkPolicies(t *testing.T) {
	policies := networkPolicies(t)
	for _, c := range connections {
		if got := connects(t, policies, c.from, c.to, c.protocol, c.port); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDefaultDeny takes all other policies away: what is closed must not depend on what is opened.
func TestDefaultDeny(t *testing.T) {
	var denials []*networkingv1.NetworkPolicy
	for _, p := range networkPolicies(t) {
		if p.Name == "default-deny" {
			denials = append(denials, p)
		}
	}
	for _, c := range connections {
		if connects(t, denials, c.from, c.to, c.protocol, c.port) {
			t.Errorf("%s: it can", c.name)
		}
	}
	for i, p := range denials {
		for name, without := range parts(p) {
			if !noticed(t, replaced(denials, i, without), denials) {
				t.Errorf("%s/%s: nobody notices that %s is gone", p.Namespace, p.Name, name)
			}
		}
	}
}

// TestNetworkPoliciesMatter takes away each part of each policy in turn: a part whose absence no connection notices is
// superfluous, or not tested. TestDefaultDeny does so with the policies that open nothing.
func TestNetworkPoliciesMatter(t *testing.T) {
	whole := networkPolicies(t)
	for i, p := range whole {
		if len(p.Spec.Ingress)+len(p.Spec.Egress) == 0 {
			continue
		}
		for name, without := range parts(p) {
			if !noticed(t, replaced(whole, i, without), whole) {
				t.Errorf("%s/%s: nobody notices that %s is gone", p.Namespace, p.Name, name)
			}
		}
	}
}

// noticed says whether policies let anybody through other than before.
func noticed(t *testing.T, policies, before []*networkingv1.NetworkPolicy) bool {
	t.Helper()
	for _, c := range connections {
		if connects(t, policies, c.from, c.to, c.protocol, c.port) != connects(t, before, c.from, c.to, c.protocol, c.port) {
			return true
		}
	}
	return false
}

// replaced is list with another element i.
func replaced[T any](list []T, i int, other T) []T {
	changed := append([]T(nil), list...)
	changed[i] = other
	return changed
}

// parts are copies of a policy, each without one of its parts.
func parts(p *networkingv1.NetworkPolicy) map[string]*networkingv1.NetworkPolicy {
	all := map[string]*networkingv1.NetworkPolicy{}
	without := func(name string, remove func(*networkingv1.NetworkPolicySpec)) {
		changed := p.DeepCopy()
		remove(&changed.Spec)
		all[name] = changed
	}
	for i, kind := range p.Spec.PolicyTypes {
		without(string(kind), func(s *networkingv1.NetworkPolicySpec) { s.PolicyTypes = cut(s.PolicyTypes, i) })
	}
	if len(p.Spec.PodSelector.MatchLabels) > 0 {
		without("podSelector", func(s *networkingv1.NetworkPolicySpec) { s.PodSelector = metav1.LabelSelector{} })
	}
	for i, r := range p.Spec.Ingress {
		rule := fmt.Sprintf("ingress %d", i)
		without(rule, func(s *networkingv1.NetworkPolicySpec) { s.Ingress = cut(s.Ingress, i) })
		for j := range r.Ports {
			without(fmt.Sprintf("%s port %d", rule, j), func(s *networkingv1.NetworkPolicySpec) { s.Ingress[i].Ports = cut(s.Ingress[i].Ports, j) })
		}
		partsOfPeers(rule, r.From, without, func(s *networkingv1.NetworkPolicySpec) *[]networkingv1.NetworkPolicyPeer { return &s.Ingress[i].From })
	}
	for i, r := range p.Spec.Egress {
		rule := fmt.Sprintf("egress %d", i)
		without(rule, func(s *networkingv1.NetworkPolicySpec) { s.Egress = cut(s.Egress, i) })
		for j := range r.Ports {
			without(fmt.Sprintf("%s port %d", rule, j), func(s *networkingv1.NetworkPolicySpec) { s.Egress[i].Ports = cut(s.Egress[i].Ports, j) })
		}
		partsOfPeers(rule, r.To, without, func(s *networkingv1.NetworkPolicySpec) *[]networkingv1.NetworkPolicyPeer { return &s.Egress[i].To })
	}
	return all
}

func partsOfPeers(rule string, peers []networkingv1.NetworkPolicyPeer, without func(string, func(*networkingv1.NetworkPolicySpec)),
	of func(*networkingv1.NetworkPolicySpec) *[]networkingv1.NetworkPolicyPeer) {
	for i, peer := range peers {
		name := fmt.Sprintf("%s peer %d", rule, i)
		without(name, func(s *networkingv1.NetworkPolicySpec) { *of(s) = cut(*of(s), i) })
		if peer.PodSelector != nil && peer.NamespaceSelector != nil {
			without(name+" podSelector", func(s *networkingv1.NetworkPolicySpec) { (*of(s))[i].PodSelector = nil })
			without(name+" namespaceSelector", func(s *networkingv1.NetworkPolicySpec) {
				(*of(s))[i].NamespaceSelector = &metav1.LabelSelector{}
			})
		}
		if peer.IPBlock == nil {
			continue
		}
		for j := range peer.IPBlock.Except {
			without(fmt.Sprintf("%s except %d", name, j), func(s *networkingv1.NetworkPolicySpec) {
				block := (*of(s))[i].IPBlock
				block.Except = cut(block.Except, j)
			})
		}
	}
}

// cut is list without its element i.
func cut[T any](list []T, i int) []T {
	return append(append([]T(nil), list[:i]...), list[i+1:]...)
}

// connects says whether the policies let from reach a port of to: both ends must allow it.
func connects(t *testing.T, policies []*networkingv1.NetworkPolicy, from, to end, protocol corev1.Protocol, port int32) bool {
	t.Helper()
	outBound, out, inBound, in := false, false, false, false
	for _, p := range policies {
		for _, kind := range p.Spec.PolicyTypes {
			switch {
			case kind == networkingv1.PolicyTypeEgress && binds(t, p, from):
				outBound = true
				for _, r := range p.Spec.Egress {
					out = out || matchesPort(t, r.Ports, protocol, port) && matchesPeer(t, p.Namespace, r.To, to)
				}
			case kind == networkingv1.PolicyTypeIngress && binds(t, p, to):
				inBound = true
				for _, r := range p.Spec.Ingress {
					in = in || matchesPort(t, r.Ports, protocol, port) && matchesPeer(t, p.Namespace, r.From, from)
				}
			}
		}
	}
	return (out || !outBound) && (in || !inBound)
}

// binds says whether a policy selects the pod.
func binds(t *testing.T, p *networkingv1.NetworkPolicy, pod end) bool {
	return pod.namespace == p.Namespace && selects(t, &p.Spec.PodSelector, pod.labels)
}

func selects(t *testing.T, s *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(set)
}

// matchesPort: no ports are all ports.
func matchesPort(t *testing.T, ports []networkingv1.NetworkPolicyPort, protocol corev1.Protocol, port int32) bool {
	t.Helper()
	for _, p := range ports {
		if p.Protocol == nil || p.Port == nil || p.Port.Type != intstr.Int || p.EndPort != nil {
			t.Fatalf("port %+v: only numbers with a protocol are evaluated here", p)
		}
		if *p.Protocol == protocol && p.Port.IntVal == port {
			return true
		}
	}
	return len(ports) == 0
}

// matchesPeer: no peers are all peers. Without a namespaceSelector, pods are those of the policy's own namespace.
func matchesPeer(t *testing.T, own string, peers []networkingv1.NetworkPolicyPeer, e end) bool {
	t.Helper()
	for _, p := range peers {
		switch {
		case p.IPBlock != nil:
			if inBlock(t, p.IPBlock, e.address) {
				return true
			}
		case e.namespace == "":
		case p.NamespaceSelector == nil:
			if e.namespace == own && selects(t, p.PodSelector, e.labels) {
				return true
			}
		case selects(t, p.NamespaceSelector, labels.Set{"kubernetes.io/metadata.name": e.namespace}):
			if p.PodSelector == nil || selects(t, p.PodSelector, e.labels) {
				return true
			}
		}
	}
	return len(peers) == 0
}

func inBlock(t *testing.T, b *networkingv1.IPBlock, address string) bool {
	t.Helper()
	in := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			t.Fatal(err)
		}
		return prefix.Contains(netip.MustParseAddr(address))
	}
	for _, e := range b.Except {
		if in(e) {
			return false
		}
	}
	return in(b.CIDR)
}
