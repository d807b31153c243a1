package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

// fakeAPI is a Kubernetes API that knows PodAutoscalers only, and refuses questions that the real one would refuse too, or
// that the gateway has no right to ask.
type fakeAPI struct {
	*httptest.Server
	ca    string // its authority, in PEM
	token atomic.Value
	asked atomic.Int32
	list  func(service string) (status int, body string)
}

func newFakeAPI(t *testing.T, list func(service string) (int, string)) *fakeAPI {
	t.Helper()
	f := &fakeAPI{list: list}
	f.token.Store("secret")
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		selector := r.URL.Query().Get("labelSelector")
		const label = "serving.knative.dev/service="
		switch {
		case r.Header.Get("Authorization") != "Bearer "+f.token.Load().(string):
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method != http.MethodGet || r.URL.Path != "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/mcp-servers/podautoscalers" ||
			len(selector) <= len(label) || selector[:len(label)] != label:
			t.Errorf("asked %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusForbidden)
		default:
			status, body := f.list(selector[len(label):])
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(f.Close)
	f.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}))
	return f
}

// kubeconfig writes one for the API into dir.
func (f *fakeAPI) kubeconfig(t *testing.T, dir string) string {
	t.Helper()
	write(t, dir, "api.pem", f.ca)
	write(t, dir, "token", f.token.Load().(string)+"\n")
	return write(t, dir, "kube.yaml", `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: other, context: {cluster: a, user: b}}, {name: test, context: {cluster: here, user: gateway}}]
clusters: [{name: here, cluster: {server: "`+f.URL+`", certificate-authority: api.pem}}]
users: [{name: gateway, user: {tokenFile: token}}]
`)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes one that is its own authority, and its key, in PEM.
func certificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// revision is an item of a list; scales below -1 are left out.
func revision(name, reachability string, age time.Duration, desired, actual int) map[string]any {
	status := map[string]any{"serviceName": "x"}
	if desired >= -1 {
		status["desiredScale"] = desired
	}
	if actual >= -1 {
		status["actualScale"] = actual
	}
	return map[string]any{"metadata": map[string]any{"name": name, "creationTimestamp": time.Unix(1e9, 0).Add(-age).UTC().Format(time.RFC3339)},
		"spec": map[string]any{"reachability": reachability}, "status": status}
}

func list(items ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"apiVersion": "autoscaling.internal.knative.dev/v1alpha1", "kind": "PodAutoscalerList",
		"metadata": map[string]any{"resourceVersion": "1"}, "items": append([]map[string]any{}, items...)})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// newCluster is a cluster whose API is f's, and whose ingress is somewhere.
func newCluster(t *testing.T, f *fakeAPI, change func(*Config)) (*Cluster, error) {
	t.Helper()
	dir := t.TempDir()
	c := Config{Logger: slog.New(slog.DiscardHandler), Deployer: ensurer(nil), Knative: &catalog.Knative{Namespace: "mcp-servers",
		Kubeconfig: f.kubeconfig(t, dir), NameKey: write(t, dir, "name.key", fmt.Sprintf("%032d", 7)),
		Ingress: catalog.KnativeIngress{URL: "https://ingress.test", Domain: "example.test", CA: write(t, dir, "ca.pem", f.ca)}}}
	if change != nil {
		change(&c)
	}
	return New(c)
}

var (
	github = deploy.Key{Server: "github"}
	alices = deploy.Key{Server: "mine", Owner: &deploy.Owner{Issuer: "https://i", Subject: "alice"}}
)
