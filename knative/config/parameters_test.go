package config

import (
	"context"
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
	for name, patch := range map[string]string{
		"no allowedImages":    `{"data": {"allowedImages": null}}`,
		"empty allowedImages": `{"data": {"allowedImages": "\n \n"}}`,
		"no shimImages":       `{"data": {"shimImages": null}}`,
		"another repository":  `{"data": {"allowedImages": "registry.example.com/mcp\n"}}`,
		"deleted":             "",
	} {
		if patch == "" {
			err = maps.Delete(t.Context(), whole.Name, metav1.DeleteOptions{})
		} else {
			_, err = maps.Patch(t.Context(), whole.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, name+": it is admitted", func() bool { return r.outcome(t, good) != "" })
		if got := r.outcome(t, good); !strings.Contains(got, "mcp-services") && !strings.Contains(got, "mcp-admission") {
			t.Errorf("%s: %s", name, got)
		}
		restore()
		eventually(t, name+": it is refused for good", func() bool { return r.outcome(t, good) == "" })
	}
}

// TestBindings has each policy warn instead of deny, which its binding says: all that it refused is admitted.
func TestBindings(t *testing.T) {
	r := newRig(t)
	all := writes()
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
		eventually(t, name+": nobody notices that its binding is gone", func() bool { return len(r.noticing(t, all, "")) > 0 })
		set("Deny")
		eventually(t, name+": it does not come back", func() bool { return len(r.differing(t, all)) == 0 })
	}
}
