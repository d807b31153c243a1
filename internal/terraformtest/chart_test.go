package terraformtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// render makes a chart's objects, with the two of Helm's functions that ours uses. An object that is there twice is a mistake.
func render(t *testing.T, chart string, values map[string]any) map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := template.New(filepath.Base(file)).Option("missingkey=error").Funcs(template.FuncMap{
			"quote": func(v any) string { return strconv.Quote(fmt.Sprint(v)) },
			"join": func(sep string, of []any) string {
				var all []string
				for _, v := range of {
					all = append(all, fmt.Sprint(v))
				}
				return strings.Join(all, sep)
			},
		}).Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, map[string]any{"Values": values}); err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(&out); ; {
			var o map[string]any
			if err := d.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, out.String())
			}
			if o == nil {
				continue
			}
			meta := o["metadata"].(map[string]any)
			name := strings.TrimSpace(fmt.Sprintf("%v %v/%v", o["kind"], meta["namespace"], meta["name"]))
			if objects[name] != nil {
				t.Errorf("%s is there twice", name)
			}
			objects[name] = o
		}
	}
	return objects
}

// at is a value in an object.
func at(o map[string]any, path ...string) any {
	var v any = o
	for _, p := range path {
		m, is := v.(map[string]any)
		if !is {
			return nil
		}
		v = m[p]
	}
	return v
}

// checkChart looks at what Helm would put into the cluster.
func checkChart(t *testing.T, objects map[string]map[string]any) {
	t.Helper()
	for _, c := range []struct {
		object string
		path   []string
		want   string
	}{
		{"KnativeServing knative-serving/knative-serving", []string{"spec", "config", "autoscaler", "allow-zero-initial-scale"}, "true"},
		{"KnativeServing knative-serving/knative-serving", []string{"spec", "config", "defaults", "max-revision-timeout-seconds"}, "900"},
		{"KnativeServing knative-serving/knative-serving", []string{"spec", "config", "domain"}, "map[servers.mcp.internal:]"},
		{"Service kourier-system/mcp-ingress", []string{"spec", "loadBalancerClass"}, "eks.amazonaws.com/nlb"},
		{"Service kourier-system/mcp-ingress", []string{"metadata", "annotations", "service.beta.kubernetes.io/aws-load-balancer-scheme"}, "internal"},
		{"Service kourier-system/mcp-ingress", []string{"metadata", "annotations", "service.beta.kubernetes.io/aws-load-balancer-name"}, "mcp-ingress"},
		{"Secret knative-serving/ingress-certificate", []string{"data", "tls.key"}, "a2V5"},
		{"ConfigMap mcp-system/mcp-admission", []string{"data", "allowedImages"}, "registry.example.com/mcp/\n"},
		{"ConfigMap mcp-system/mcp-admission", []string{"data", "shimImages"}, "registry.example.com/mcp/shim\n"},
		{"RoleBinding mcp-servers/gateway-function", []string{"roleRef", "name"}, "gateway"},
		{"RoleBinding mcp-servers/gateway-function", []string{"subjects"}, "[map[apiGroup:rbac.authorization.k8s.io kind:Group name:mcpgateway-gateway]]"},
		{"RoleBinding mcp-servers/deployer-function", []string{"subjects"}, "[map[apiGroup:rbac.authorization.k8s.io kind:Group name:mcpgateway-deployer]]"},
		{"ValidatingAdmissionPolicyBinding <nil>/mcp-deployer-secrets", []string{"spec", "policyName"}, "mcp-deployer-secrets"},
		{"Role mcp-servers/deployer", []string{"metadata", "name"}, "deployer"},
		{"NetworkPolicy mcp-servers/default-deny", []string{"spec", "policyTypes"}, "[Ingress Egress]"},
	} {
		if got := fmt.Sprint(at(objects[c.object], c.path...)); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.object, strings.Join(c.path, "."), got, c.want)
		}
	}
}
