package ingress

import (
	"context"
	"errors"
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
	who := a.Identity
	identity := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if who.AccessKeyID == "" {
			return who, errors.New("nobody")
		}
		return who, nil
	})
	t.Setenv("KUBECONFIG", os.DevNull) // which does not count
	api, err := findAPI(k, identity)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := api.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); err != nil || string(text) != awake {
		t.Errorf("%q, %v", text, err)
	}
	who = aws.Credentials{}
	if api, err = findAPI(k, identity); err != nil {
		t.Fatal(err)
	}
	if text, err := api.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); err == nil {
		t.Errorf("without an identity: %q", text)
	}
	if _, err := findAPI(k, nil); err == nil {
		t.Error("without anybody who asks: accepted")
	}
	for name, ca := range map[string]string{"no file": "missing", "no certificate": write(t, t.TempDir(), "ca.pem", "x")} {
		k.EKS.CA = ca
		if _, err := findAPI(k, identity); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
