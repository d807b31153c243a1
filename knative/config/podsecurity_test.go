package config

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestPodSecurity sees the API server admit our own pods, and none that asks for more, in both namespaces.
func TestPodSecurity(t *testing.T) {
	c := connect(t)
	create := func(namespace string, change func(*corev1.PodSpec)) error {
		spec := named[*appsv1.Deployment](t, manifests(t), "gateway").Spec.Template.Spec
		spec.ServiceAccountName = map[string]string{servers: "mcp-server", system: "gateway"}[namespace]
		change(&spec)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "test"}, Spec: spec}
		_, err := c.kube.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	more := map[string]func(*corev1.PodSpec){
		"root": func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot, s.SecurityContext.RunAsUser = nil, new(int64) },
		"privileged": func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
		},
		"no context at all": func(s *corev1.PodSpec) { s.SecurityContext, s.Containers[0].SecurityContext = nil, nil },
		"the node's files": func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		},
		"the node's network": func(s *corev1.PodSpec) { s.HostNetwork = true },
	}
	testOwnPods(t, c)
	for _, namespace := range []string{servers, system} {
		if err := create(namespace, func(*corev1.PodSpec) {}); err != nil {
			t.Errorf("%s: a pod as ours: %v", namespace, err)
		}
		for name, change := range more {
			if err := create(namespace, change); err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted:latest"`) {
				t.Errorf("%s: %s: %v", namespace, name, err)
			}
		}
		enforce := func(level string) {
			patch := fmt.Appendf(nil, `{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": %q}}}`, level)
			if _, err := c.kube.CoreV1().Namespaces().Patch(context.Background(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { enforce("restricted") })
		enforce("privileged")
		eventually(t, func() string { // it is the namespace's label that refused them
			for name, change := range more {
				if err := create(namespace, change); err != nil {
					return fmt.Sprintf("%s: %s: %v", namespace, name, err)
				}
			}
			return ""
		})
	}
}

// testOwnPods creates the pods of gateway and deployer as their Deployments would: a Deployment itself is admitted whatever
// its pods are.
func testOwnPods(t *testing.T, c cluster) {
	t.Helper()
	for _, name := range []string{"gateway", "deployer"} {
		template := named[*appsv1.Deployment](t, manifests(t), name).Spec.Template
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec}
		if _, err := c.kube.CoreV1().Pods(system).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		container := pod.Spec.Containers[0].SecurityContext
		if container.ReadOnlyRootFilesystem == nil || !*container.ReadOnlyRootFilesystem {
			t.Errorf("%s may write to its root", name)
		}
	}
}
