package knative

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative/eks"
)

// Reach says how to reach the cluster of a platform file.
func Reach(k *catalog.Knative) (*rest.Config, error) {
	if k.EKS == nil {
		return Credentials(k.Kubeconfig)
	}
	tokens, err := tokens(k.EKS)
	if err != nil {
		return nil, err
	}
	return &rest.Config{Host: k.EKS.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAFile: k.EKS.CA},
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return signed{tokens.Token, next} }}, nil
}

// patience is how long an AWS identity is looked for.
const patience = 5 * time.Second

// tokens are for a cluster of EKS, by the AWS identity that this process has: a pod's, a profile of an operator's.
func tokens(e *catalog.EKS) (*eks.Tokens, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(e.Region))
	if err != nil {
		return nil, fmt.Errorf("find an AWS identity: %w", err)
	}
	return eks.New(eks.Config{Cluster: e.Cluster, Region: e.Region, Identity: c.Credentials})
}

// signed sends each request with a token that holds now.
type signed struct {
	token func(context.Context) (string, error)
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := s.token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes it in any case
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return s.next.RoundTrip(r)
}

// Credentials says how to reach the cluster: by a kubeconfig file where one is named, else by the files that $KUBECONFIG
// names, else by what every pod of a cluster has.
func Credentials(kubeconfig string) (*rest.Config, error) {
	files := clientcmd.NewDefaultClientConfigLoadingRules()
	files.ExplicitPath = kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(files, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("credentials for the cluster: %w", err)
	}
	return c, nil
}
