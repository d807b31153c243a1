package terraformtest

import (
	"path/filepath"
	"testing"
)

// TestKnative hands the installer what the gateway's module says of itself, and looks at what it would install.
func TestKnative(t *testing.T) {
	f := open(t, ".")
	f.apply(t, variables(map[string]any{"removable": true}))
	gateway, err := f.Output(t.Context(), "knative")
	if err != nil {
		t.Fatal(err)
	}
	k := f
	k.Path += "/knative"
	k.initialize(t)
	made := k.apply(t, map[string]any{"gateway": gateway, "images": []string{"registry.example.com/mcp/"}, "shim_images": []string{"registry.example.com/mcp/shim"}})
	found := map[string]Resource{}
	for _, r := range made {
		found[r.Address] = r
	}
	if name := found["aws_route53_record.ingress"].Values["name"]; name != "ingress.mcp.internal" {
		t.Errorf("the ingress is at %v", name)
	}
	if key := found["aws_s3_object.authority"].Values["key"]; key != "documents/ingress.pem" {
		t.Errorf("its authority is at %v", key)
	}
	checkReader(t, found, made)
	checkOperator(t, k.Path, found)
	values := helmValues(t, found["helm_release.this"])
	values["certificate"] = map[string]any{"crt": "Y3J0", "key": "a2V5"} // what Helm is given besides, and is not shown
	checkChart(t, render(t, filepath.Join(k.Path, "chart"), values))
	if out, err := k.Run(t.Context(), "plan", "-no-color", "-detailed-exitcode"); err != nil {
		t.Errorf("a second plan has changes: %v %s", err, out)
	}
	if _, err := k.Run(t.Context(), "destroy", "-no-color", "-auto-approve"); err != nil {
		t.Error(err)
	}
}
