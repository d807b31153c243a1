package config

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestParameters takes the list of images away: then nothing may run, not everything.
func TestParameters(t *testing.T) {
	r := newRig(t)
	good := write{"as the deployer writes it", "deployer", "apply", goodService(), ""}
	maps := r.kube.CoreV1().ConfigMaps(system)
	whole, err := maps.Get(t.Context(), "mcp-admission", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restore := func() {
		_ = maps.Delete(context.Background(), whole.Name, metav1.DeleteOptions{})
		back := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: whole.Name, Annotations: whole.Annotations}, Data: whole.Data}
		if _, err := maps.Create(context.Background(), back, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	for _, tt := range []struct{ name, patch, want string }{
		{"no allowedImages", `{"data": {"allowedImages": null}}`, "no such key: allowedImages"},
		{"empty allowedImages", `{"data": {"allowedImages": "\n \n"}}`, badImage},
		{"no shimImages", `{"data": {"shimImages": null}}`, "no such key: shimImages"},
		{"another repository", `{"data": {"allowedImages": "registry.example.com/mcp\n"}}`, badImage},
		{"deleted", "", "no params found"},
	} {
		if tt.patch == "" {
			err = maps.Delete(t.Context(), whole.Name, metav1.DeleteOptions{})
		} else {
			_, err = maps.Patch(t.Context(), whole.Name, types.MergePatchType, []byte(tt.patch), metav1.PatchOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() string {
			got := r.outcome(t, good)
			return unless(strings.Contains(got, tt.want), fmt.Sprintf("%s: %q, want %q", tt.name, got, tt.want))
		})
		restore()
		eventually(t, func() string { return r.outcome(t, good) })
	}
}

// TestBindings has each policy warn instead of deny, which its binding says: all that it refused is admitted.
func TestBindings(t *testing.T) {
	r := newRig(t)
	all := writes("deployer")
	bindings := r.kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	for _, name := range []string{"mcp-services", "mcp-deployer-objects", "mcp-deployer-network"} {
		set := func(action string) {
			patch := []byte(`{"spec": {"validationActions": ["` + action + `"]}}`)
			if _, err := bindings.Patch(context.Background(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { set("Deny") })
		set("Audit")
		eventually(t, func() string {
			noticed, _ := r.noticing(t, all, "")
			return unless(len(noticed) > 0, name+": nobody notices that its binding is gone")
		})
		set("Deny")
		eventually(t, func() string { return r.differing(t, all) })
	}
}
