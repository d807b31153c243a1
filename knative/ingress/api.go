package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative/eks"
)

// api asks the Kubernetes API. Where its token comes from a file it is read for every question, as it is renewed there.
type api struct {
	server string      // URL without a path
	token  tokenSource // nil: a client certificate says who asks
	http   *http.Client
}

// tokenSource returns a token that holds now.
type tokenSource func(context.Context) (string, error)

// serviceAccount is where every pod of a cluster finds its credentials.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// findAPI takes what the platform file names, a cluster of EKS or a kubeconfig, or else the kubeconfig that $KUBECONFIG names,
// or what a pod has.
func findAPI(k *catalog.Knative, identity aws.CredentialsProvider) (*api, error) {
	kubeconfig := k.Kubeconfig
	if k.EKS != nil {
		return onEKS(k.EKS, identity)
	}
	if kubeconfig == "" {
		kubeconfig = os.Getenv("KUBECONFIG")
	}
	if kubeconfig != "" {
		return readKubeconfig(kubeconfig)
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of a cluster: name a kubeconfig, by deployer.knative.kubeconfig or $KUBECONFIG")
	}
	return inCluster("https://"+net.JoinHostPort(host, port), serviceAccount)
}

// onEKS goes by an AWS identity.
func onEKS(e *catalog.EKS, identity aws.CredentialsProvider) (*api, error) {
	tokens, err := eks.New(eks.Config{Cluster: e.Cluster, Region: e.Region, Identity: identity})
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(e.CA)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.CA, err)
	}
	return newAPI(e.Endpoint, &tls.Config{RootCAs: roots}, tokens.Token)
}

// inCluster goes by the token and the authority in a folder.
func inCluster(server, folder string) (*api, error) {
	pem, err := os.ReadFile(folder + "/ca.crt")
	if err != nil {
		return nil, err
	}
	roots, err := authorities(pem)
	if err != nil {
		return nil, err
	}
	return newAPI(server, &tls.Config{RootCAs: roots}, fileToken(folder+"/token"))
}

func fileToken(path string) tokenSource {
	return func(context.Context) (string, error) {
		token, err := os.ReadFile(path)
		return strings.TrimSpace(string(token)), err
	}
}

// newAPI wires a client that trusts one authority, goes through no proxy and follows no redirect.
func newAPI(server string, config *tls.Config, token tokenSource) (*api, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the server of the cluster must be an https:// URL")
	}
	config.MinVersion = tls.VersionTLS12
	return &api{server: strings.TrimSuffix(server, "/"), token: token, http: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// podAutoscalers lists those of a service's revisions.
func (a *api) podAutoscalers(ctx context.Context, namespace, service string) ([]byte, error) {
	query := url.Values{"labelSelector": {"serving.knative.dev/service=" + service}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		a.server+"/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/"+namespace+"/podautoscalers?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if a.token != nil {
		token, err := a.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("find a token: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxList+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("list PodAutoscalers: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("list PodAutoscalers: %s", resp.Status)
	case len(text) > maxList:
		return nil, fmt.Errorf("list PodAutoscalers: more than %d bytes", maxList)
	}
	return text, nil
}
