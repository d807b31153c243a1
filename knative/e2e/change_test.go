package e2e

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// networks are what the cluster has a server reach; nil where it has no policy for it.
func (s *system) networks(id string) (networks []string) {
	s.t.Helper()
	policy, err := s.kube.NetworkingV1().NetworkPolicies(namespace).Get(context.Background(), "mcp-"+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	networks = []string{}
	for _, rule := range policy.Spec.Egress {
		networks = append(networks, rule.To[0].IPBlock.CIDR)
	}
	return networks
}

// What a server reaches is in the cluster before it starts, changes without a revision, and goes with its entry. That
// anything is held to it is not shown: the test cluster's network does not enforce policies.
func TestEgressOfAnEntry(t *testing.T) {
	s := start(t, documents{servers: sample("out", ", egress: [{cidr: 140.82.112.0/20, ports: [443]}]") + sample("in", ""), policies: everybody})
	if got := s.networks("out"); !slices.Equal(got, []string{"140.82.112.0/20"}) {
		t.Errorf("before the first call it reaches %v", got)
	}
	if got := s.networks("in"); got == nil || len(got) != 0 {
		t.Errorf("without egress it reaches %v", got)
	}
	alice := s.token("alice", "out")
	if first := s.echo("out", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	revision := s.revision("out")
	s.documents.servers = sample("out", ", egress: [{cidr: 0.0.0.0/0, ports: [443]}, {cidr: 10.0.0.0/8, ports: [80]}]")
	s.writeCatalog()
	s.eventually("the egress changed", 20*time.Second, func() bool { return slices.Equal(s.networks("out"), []string{"0.0.0.0/0", "10.0.0.0/8"}) })
	if now := s.revision("out"); now != revision {
		t.Errorf("the egress made revision %s after %s", now, revision)
	}
	s.eventually("what is gone left nothing", 90*time.Second, func() bool {
		_, err := s.kube.CoreV1().ConfigMaps(namespace).Get(context.Background(), "mcp-in-rules", metav1.GetOptions{})
		return apierrors.IsNotFound(err) && s.networks("in") == nil
	})
}

// An operator rotates what seals session ids by deleting it: the next start has another.
func TestDeletedSecretIsMadeAnew(t *testing.T) {
	s := start(t, documents{servers: sample("rotate", ""), policies: everybody})
	alice := s.token("alice", "rotate")
	if first := s.echo("rotate", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	secrets := s.kube.CoreV1().Secrets(namespace)
	before, err := secrets.Get(t.Context(), "mcp-rotate-shim", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the pods are gone", 2*time.Minute, func() bool { return len(s.pods("rotate")) == 0 })
	if err := secrets.Delete(t.Context(), before.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	took := s.eventually("a call is answered", time.Minute, func() bool { return s.echo("rotate", alice, "again").echoes("again") })
	t.Logf("answered %v after the secret was deleted", took.Round(100*time.Millisecond))
	after, err := secrets.Get(t.Context(), before.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.UID == before.UID || slices.Equal(after.Data["seal"], before.Data["seal"]) || len(after.Data["seal"]) != 32 {
		t.Errorf("%d bytes seal session ids, as before: %v", len(after.Data["seal"]), after.UID == before.UID)
	}
}

// A user's instance that was used last before idleDelete is removed, and not one that was used since.
func TestUnusedInstanceIsRemoved(t *testing.T) {
	s := start(t, documents{servers: sample("idle", ", instances: {per: user, max: 9, idleDelete: 1h}"), policies: everybody})
	for _, user := range []string{"away", "asleep"} {
		if a := s.echo("idle", s.token(user, "idle"), user); !a.echoes(user) {
			t.Fatalf("%s: %v", user, a)
		}
	}
	s.eventually("both sleep", 2*time.Minute, func() bool { return len(s.pods("idle")) == 0 })
	s.eventually("the cluster says so", time.Minute, func() bool {
		list := s.revisionsOf("idle")
		return len(list) == 2 && !slices.ContainsFunc(list, func(r servingv1.Revision) bool {
			return !r.Status.GetCondition(servingv1.RevisionConditionActive).IsFalse()
		})
	})
	away := s.owned("idle", "away")
	for _, r := range s.revisionsOf("idle") {
		if r.Labels["serving.knative.dev/service"] != away {
			continue
		}
		for i, c := range r.Status.Conditions {
			if c.Type == servingv1.RevisionConditionActive {
				r.Status.Conditions[i].LastTransitionTime.Inner = metav1.NewTime(time.Now().Add(-61 * time.Minute))
			}
		}
		if _, err := s.knative.ServingV1().Revisions(namespace).UpdateStatus(t.Context(), &r, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("it is removed", 90*time.Second, func() bool {
		_, err := s.knative.ServingV1().Services(namespace).Get(context.Background(), away, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if _, err := s.knative.ServingV1().Services(namespace).Get(t.Context(), s.owned("idle", "asleep"), metav1.GetOptions{}); err != nil {
		t.Errorf("who was there a moment ago: %v", err)
	}
	if a := s.echo("idle", s.token("away", "idle"), "back"); !a.echoes("back") {
		t.Errorf("who comes back: %v", a)
	}
}

// owned is the service of a user's instance.
func (s *system) owned(id, subject string) string {
	s.t.Helper()
	list, err := s.knative.ServingV1().Services(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "mcpgateway.dev/server=" + id})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, service := range list.Items {
		if service.Annotations["mcpgateway.dev/owner-subject"] == subject {
			return service.Name
		}
	}
	s.t.Fatalf("%s has no instance of %s", subject, id)
	return ""
}

func (s *system) revisionsOf(id string) []servingv1.Revision {
	s.t.Helper()
	list, err := s.knative.ServingV1().Revisions(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "mcpgateway.dev/server=" + id})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// A change that cannot start takes no calls from the revision that is awake. When that sleeps the change is in force, and a
// caller learns that it cannot start.
func TestChangeThatCannotStart(t *testing.T) {
	s := start(t, documents{servers: sample("full", ", startup: {timeout: 30s}"), policies: everybody})
	alice := s.token("alice", "full")
	if first := s.echo("full", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	before := s.revision("full")
	s.documents.servers = sample("full", `, startup: {timeout: 30s}, resources: {cpu: "2000"}`)
	s.writeCatalog()
	s.eventually("the change is there", 30*time.Second, func() bool { return len(s.revisionsOf("full")) == 2 })
	for range 50 {
		if a := s.echo("full", alice, "during"); !a.echoes("during") {
			t.Fatalf("while the change cannot start: %v", a)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if now := s.revision("full"); now != before {
		t.Errorf("%s serves, which cannot start", now)
	}
	took := s.eventually("the change is in force", 3*time.Minute, func() bool { return s.revision("full") != before })
	t.Logf("in force %v after the last call", took.Round(time.Second))
	// The route moves a moment after that.
	s.eventually("a caller learns that it cannot start", time.Minute, func() bool {
		return s.echo("full", alice, "after").status == http.StatusServiceUnavailable
	})
}
