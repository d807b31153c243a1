package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What keeps a server from starting is known within seconds: the operator reads why, the caller a sentence.
func TestFailures(t *testing.T) {
	entry := func(id, image, args, more string) string {
		return "  - {id: " + id + ", title: Bad, runtime: {container: {image: " + image + ", port: 8090, args: " + args + "}}, scale: {idle: 6s}, startup: {timeout: 60s}" + more + "}\n"
	}
	good := `[-addr, "127.0.0.1:8090"]`
	s := start(t, documents{policies: everybody, servers: entry("no-image", "dev.local/nobody-has:1", good, "") +
		entry("crashes", sampleImage, `[-no-such-flag]`, "") +
		entry("no-secret", sampleImage, good, ", env: [{name: TOKEN, secret: {key: token}}]") +
		entry("too-big", sampleImage, good, ", resources: {cpu: \"2000\"}") +
		entry("foreign", "registry.example.com/other:1", good, "")})
	for id, want := range map[string]string{
		"no-image":  "nobody-has",
		"crashes":   "no-such-flag",
		"no-secret": "mcp-no-secret-server",
		"too-big":   "Insufficient cpu",
		"foreign":   "images must be of allowedImages",
	} {
		t.Run(id, func(t *testing.T) { s.fails(t, id, want) })
	}
}

// fails calls a server that cannot start; the operator is told want.
func (s *system) fails(t *testing.T, id, want string) {
	t.Helper()
	a := s.echo(id, s.token("alice", id), "x")
	t.Logf("%v", a)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if strings.Contains(a.body, want) {
		t.Errorf("the caller reads %q", a.body)
	}
	if a.took > 30*time.Second {
		t.Errorf("it took %v", a.took)
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "deployer.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), want) {
		t.Errorf("the operator does not read %q", want)
	}
}

// A server that is never ready is given up when its time to start is over.
func TestStartupTimeout(t *testing.T) {
	s := start(t, documents{policies: everybody, servers: "  - {id: elsewhere, title: Bad, runtime: {container: {image: " + sampleImage +
		", port: 8090, args: [-addr, \"127.0.0.1:8091\"]}}, scale: {idle: 6s}, startup: {timeout: 8s}}\n"})
	a := s.echo("elsewhere", s.token("alice", "elsewhere"), "x")
	t.Logf("%v", a)
	if a.status != http.StatusGatewayTimeout || a.took < 8*time.Second || a.took > 20*time.Second {
		t.Errorf("%v", a)
	}
}

// What keeps pods from being made at all is told like what keeps them from starting.
func TestPodsAreRefused(t *testing.T) {
	s := start(t, documents{servers: sample("quota", "") + sample("denied", ""), policies: everybody})
	ctx := context.Background()
	t.Run("quota", func(t *testing.T) {
		quotas := s.kube.CoreV1().ResourceQuotas(namespace)
		_, err := quotas.Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = quotas.Delete(ctx, "none", metav1.DeleteOptions{}) })
		s.eventually("the quota is in force", 30*time.Second, func() bool {
			q, err := quotas.Get(ctx, "none", metav1.GetOptions{})
			return err == nil && len(q.Status.Hard) > 0
		})
		s.fails(t, "quota", "exceeded quota")
	})
	t.Run("policy", func(t *testing.T) {
		s.denyPods(t, "denied", "not on a Friday")
		s.fails(t, "denied", "not on a Friday")
	})
}

// denyPods has an admission policy of the cluster's refuse the pods of a server.
func (s *system) denyPods(t *testing.T, id, message string) {
	t.Helper()
	ctx, name := context.Background(), metav1.ObjectMeta{Name: "e2e-deny"}
	pods := admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: pods}},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"mcpgateway.dev/server": id}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: message}}}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}}
	admission := s.kube.AdmissionregistrationV1()
	t.Cleanup(func() {
		_ = admission.ValidatingAdmissionPolicyBindings().Delete(ctx, name.Name, metav1.DeleteOptions{})
		_ = admission.ValidatingAdmissionPolicies().Delete(ctx, name.Name, metav1.DeleteOptions{})
	})
	if _, err := admission.ValidatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admission.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: map[string]string{"mcpgateway.dev/server": id}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: sampleImage}}}}
	s.eventually("the policy is in force", 30*time.Second, func() bool {
		_, err := s.kube.CoreV1().Pods("default").Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), message)
	})
}
