package config

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestKubeconform checks all manifests against the schemas that the API server has of itself.
func TestKubeconform(t *testing.T) {
	c := connect(t)
	schemas := t.TempDir()
	versions := map[schema.GroupVersion]bool{}
	for _, o := range manifests(t) {
		versions[o.GetObjectKind().GroupVersionKind().GroupVersion()] = true
	}
	for gv := range versions {
		path := "/openapi/v3/apis/" + gv.String()
		if gv.Group == "" {
			path = "/openapi/v3/api/" + gv.String()
		}
		text, err := c.kube.RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		writeSchemas(t, schemas, text)
	}
	resources := readKustomization(t).Resources
	if out, err := kubeconform(schemas, resources...); err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
	for _, bad := range []string{"spec: {replicas: two}", "spec: {replicsa: 2}"} {
		file := filepath.Join(t.TempDir(), "bad.yaml")
		if err := os.WriteFile(file, []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\n"+bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := kubeconform(schemas, file); err == nil || !strings.Contains(string(out), "Invalid: 1") {
			t.Errorf("%s: %v\n%s", bad, err, out)
		}
	}
}

func kubeconform(schemas string, files ...string) ([]byte, error) {
	location := schemas + "/{{.ResourceKind}}{{.KindSuffix}}.json"
	args := append([]string{"tool", "-modfile=../../.ci/tools/go.mod", "kubeconform", "-strict", "-summary", "-schema-location", location}, files...)
	return exec.Command("go", args...).CombinedOutput()
}

// writeSchemas makes a JSON schema a kind of an OpenAPI document, which allows no field that it does not name. Each holds
// all of the document's definitions.
func writeSchemas(t *testing.T, folder string, openapi []byte) {
	t.Helper()
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(openapi), "#/components/schemas/", "#/$defs/")), &document); err != nil {
		t.Fatal(err)
	}
	defs := document.Components.Schemas
	for _, def := range defs {
		if _, has := def["properties"]; has && def["x-kubernetes-preserve-unknown-fields"] == nil {
			def["additionalProperties"] = false
		}
	}
	for name, def := range defs {
		kinds, _ := def["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue // what many groups share, such as DeleteOptions
		}
		kind := kinds[0].(map[string]any)
		group, _, _ := strings.Cut(kind["group"].(string), ".")
		file := strings.ToLower(kind["kind"].(string))
		if group != "" {
			file += "-" + group
		}
		text, err := json.Marshal(map[string]any{"$ref": "#/$defs/" + name, "$defs": defs})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file+"-"+kind["version"].(string)+".json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
