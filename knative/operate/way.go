package operate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"mcpgateway/knative/names"
)

// readiness is what a shim answers at this path without a token, and without a record of it.
const readiness = "/readyz"

// connectTimeout bounds how long an ingress may take to be there.
const connectTimeout = 5 * time.Second

// errUnreached says that nothing was sent.
var errUnreached = errors.New("not reached")

// throughIngress asks as the gateway does.
func (c *Cluster) throughIngress(ctx context.Context, service string) (*http.Response, error) {
	k := c.platform.Deployer.Knative
	transport := &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: connectTimeout, DialContext: dial}
	if k.Ingress.CA != "" {
		pem, err := os.ReadFile(k.Ingress.CA)
		if err != nil {
			return nil, fmt.Errorf("read the ingress's authority: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", k.Ingress.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Ingress.URL+readiness, nil)
	if err != nil {
		return nil, err
	}
	r.Host = names.Host(service, k.Namespace, k.Ingress.Domain)
	return send(transport, r)
}

// dial is Dial, whose errors say that nothing was sent.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnreached, err)
	}
	return conn, err
}

// activator is where the API server finds what holds requests until a pod is there (Knative Serving 0.50,
// pkg/activator/handler: it goes by the two headers before the host).
const activator = "/api/v1/namespaces/knative-serving/services/http:activator-service:80/proxy"

// throughAPI has the API server pass the request on. That takes the right to services/proxy in knative-serving.
func (c *Cluster) throughAPI(ctx context.Context, revision string) (*http.Response, error) {
	transport, err := rest.TransportFor(c.rest)
	if err != nil {
		return nil, err
	}
	server, _, err := rest.DefaultServerUrlFor(c.rest)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server.String(), "/")+activator+readiness, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Knative-Serving-Namespace", c.namespace())
	r.Header.Set("Knative-Serving-Revision", revision)
	return send(transport, r)
}

// send sends a request as it is: no redirect is followed.
func send(by http.RoundTripper, r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", "mcpgateway") // kube-probe's would wake nothing
	return by.RoundTrip(r)
}
