package ingress

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative/eks/ekstest"
)

// On EKS the gateway asks as the AWS identity that it has, and trusts the one authority that the platform file names.
func TestAPIOnEKS(t *testing.T) {
	a := ekstest.Authenticator{Cluster: "prod", Region: "eu-central-1", Identity: aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "sesame"}}
	k := &catalog.Knative{Namespace: "mcp-servers", EKS: a.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, awake) })}
	t.Setenv("KUBECONFIG", os.DevNull) // which does not count
	api, err := findAPI(k)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := api.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); err != nil || string(text) != awake {
		t.Errorf("%q, %v", text, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if api, err = findAPI(k); err != nil {
		t.Fatal(err)
	}
	if text, err := api.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); err == nil {
		t.Errorf("without an identity: %q", text)
	}
	for name, ca := range map[string]string{"no file": "missing", "no certificate": write(t, t.TempDir(), "ca.pem", "x")} {
		k.EKS.CA = ca
		if _, err := findAPI(k); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
