package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/knative/names"
)

// nodeAddress is where pods of the test cluster reach this machine.
const nodeAddress = "10.250.0.1"

const (
	systemNamespace = "mcp-system"
	publicHost      = "mcp.example.test"
)

// inCluster is gateway and deployer as knative/config runs them.
type inCluster struct {
	system
	ctx context.Context
}

// Gateway and deployer run in the cluster, by the YAML of knative/config and by nothing else that they could use there. The
// deployer answers the gateway's pods, and no others.
func TestGatewayAndDeployerInCluster(t *testing.T) {
	s := startInCluster(t)
	gateway := s.pod("gateway")
	first := ask(s.at(gateway, "carol"))
	if !first.echoes("carol") {
		t.Fatalf("the first call of carol's own instance: %v\n%s", first, s.logs("gateway"))
	}
	t.Logf("deployed by a gateway in the cluster, woken and answered in %v (%s)", first.took, first.header.Get("Server-Timing"))

	// The same program with the same files, but as another account.
	s.makeImpostor()
	a := ask(s.at(s.pod("impostor"), "dave"))
	t.Logf("through a gateway of another account: %v", a)
	if a.status != http.StatusServiceUnavailable {
		t.Errorf("a gateway of another account: %v", a)
	}
	if log := s.logs("deployer"); !strings.Contains(log, `"status":403`) || !strings.Contains(log, "system:serviceaccount:mcp-system:impostor") {
		t.Errorf("the deployer's log does not say who asked:\n%s", log)
	}
	s.asksDirectly(s.pod("deployer"))
	dave := names.Service([]byte(strings.Repeat("n", 32)), deploy.Key{Server: "each", Owner: &deploy.Owner{Issuer: s.issuer.URL, Subject: "dave"}})
	if _, err := s.knative.ServingV1().Services(namespace).Get(s.ctx, dave, metav1.GetOptions{}); err == nil {
		t.Error("dave's instance was made")
	}
}

// asksDirectly asks the deployer past all network policies, with tokens that the cluster signed.
func (s *inCluster) asksDirectly(deployer corev1.Pod) {
	for _, tt := range []struct {
		account, audience string
		want              int
	}{
		{"", "", http.StatusUnauthorized}, {"gateway", "", http.StatusUnauthorized}, {"gateway", "somebody", http.StatusUnauthorized},
		{"deployer", catalog.TokenAudience, http.StatusForbidden}, {"impostor", catalog.TokenAudience, http.StatusForbidden},
		{"gateway", catalog.TokenAudience, http.StatusOK},
	} {
		r, err := http.NewRequest(http.MethodPost, "http://"+net.JoinHostPort(deployer.Status.PodIP, "8080")+deploy.PathFind, strings.NewReader(`{"server":"shared"}`))
		if err != nil {
			s.t.Fatal(err)
		}
		if tt.account != "" {
			request := &authenticationv1.TokenRequest{}
			if tt.audience != "" {
				request.Spec.Audiences = []string{tt.audience}
			}
			token, err := s.kube.CoreV1().ServiceAccounts(systemNamespace).CreateToken(s.ctx, tt.account, request, metav1.CreateOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token.Status.Token)
		}
		if a := ask(r); a.status != tt.want {
			s.t.Errorf("the deployer asked by %q for %q: %v, want %d", tt.account, tt.audience, a, tt.want)
		}
	}
}

func startInCluster(t *testing.T) *inCluster {
	t.Helper()
	kubeconfig := os.Getenv("TEST_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("TEST_KUBECONFIG names no cluster; make e2e-knative brings one up")
	}
	s := &inCluster{ctx: context.Background()}
	s.t, s.url = t, "https://"+publicHost
	s.connect(kubeconfig)
	for _, name := range []string{"gateway", "deployer"} {
		if err := run(exec.Command("../testcluster/image.sh", "dev.local/"+name+":e2e", filepath.Join(programs, name))); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.cleanUp)
	ca, front := s.listen()
	s.fill(ca, front)
	for _, name := range []string{"deployer", "gateway"} {
		s.scale(name)
	}
	return s
}

// listen has an issuer and the ingress answer pods over TLS, with the authority that is returned: as in production.
func (s *inCluster) listen() (ca, front string) {
	s.t.Helper()
	certificate, ca := selfSigned(s.t)
	target, err := url.Parse(ingress)
	if err != nil {
		s.t.Fatal(err)
	}
	front = serveTLS(s.t, certificate, &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
	}})
	mux := http.NewServeMux()
	s.issuer = identitytest.New(s.t, "main", serveTLS(s.t, certificate, mux))
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": s.issuer.URL, "jwks_uri": s.issuer.URL + "/jwks", "authorization_endpoint": s.issuer.URL + "/authorize",
			"token_endpoint": s.issuer.URL + "/token", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	keys := s.issuer.Config(s.t).Keys
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) })
	return ca, front
}

func serveTLS(t *testing.T, certificate tls.Certificate, h http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", nodeAddress+":0")
	if err != nil {
		t.Skipf("pods of this cluster do not reach this machine at %s, as those of knative/testcluster do: %v", nodeAddress, err)
	}
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close()
	server.Listener, server.TLS = listener, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return "https://" + listener.Addr().String()
}

// selfSigned is a certificate of this machine, and the same in PEM for those who are to trust it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP(nodeAddress)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// fill makes what knative/config/README.md has an operator make.
func (s *inCluster) fill(ca, front string) {
	s.t.Helper()
	core := s.kube.CoreV1()
	for name, file := range map[string]string{"mcpgateway-rules": "rules.key", "mcpgateway-name": "name.key"} {
		_, err := core.Secrets(systemNamespace).Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name},
			Data: map[string][]byte{file: []byte(strings.Repeat(file[:1], 32))}}, metav1.CreateOptions{})
		s.must(err)
	}
	_, err := core.ConfigMaps(systemNamespace).Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mcpgateway-ingress"}, Data: map[string]string{"ca.pem": ca}}, metav1.CreateOptions{})
	s.must(err)
	shared, err := os.ReadFile("../config/platform.yaml")
	s.must(err)
	platform := string(shared)
	for old, now := range map[string]string{"https://mcp.example.com": s.url, "https://login.example.com/": s.issuer.URL, "registry.example.com/mcp/shim:v1": shimImage,
		"https://kourier-internal.kourier-system.svc": front, "domain: example.com": "domain: " + domain} {
		if !strings.Contains(platform, old) {
			s.t.Fatalf("platform.yaml has no %s", old)
		}
		platform = strings.Replace(platform, old, now, 1)
	}
	files, err := core.ConfigMaps(systemNamespace).Get(s.ctx, "mcpgateway", metav1.GetOptions{})
	s.must(err)
	files.Data = map[string]string{"platform.yaml": platform,
		"catalog.yaml": "apiVersion: v1\nservers:\n" + sample("each", ", instances: {per: user, max: 5}") + sample("shared", "") + "policies:\n" + everybody}
	_, err = core.ConfigMaps(systemNamespace).Update(s.ctx, files, metav1.UpdateOptions{})
	s.must(err)
}

func (s *inCluster) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// scale has a Deployment of knative/config run, with an image of this cluster and an issuer that nobody else trusts.
func (s *inCluster) scale(name string) {
	s.t.Helper()
	d, err := s.kube.AppsV1().Deployments(systemNamespace).Get(s.ctx, name, metav1.GetOptions{})
	s.must(err)
	one := int32(1)
	d.Spec.Replicas = &one
	c := &d.Spec.Template.Spec.Containers[0]
	c.Image = "dev.local/" + name + ":e2e"
	c.Env = append(c.Env, corev1.EnvVar{Name: "SSL_CERT_FILE", Value: "/etc/mcpgateway-ingress/ca.pem"})
	_, err = s.kube.AppsV1().Deployments(systemNamespace).Update(s.ctx, d, metav1.UpdateOptions{})
	s.must(err)
	s.pod(name)
}

// makeImpostor runs the gateway once more, as an account of its own.
func (s *inCluster) makeImpostor() {
	s.t.Helper()
	d, err := s.kube.AppsV1().Deployments(systemNamespace).Get(s.ctx, "gateway", metav1.GetOptions{})
	s.must(err)
	_, err = s.kube.CoreV1().ServiceAccounts(systemNamespace).Create(s.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "impostor"}}, metav1.CreateOptions{})
	s.must(err)
	labels := map[string]string{"app.kubernetes.io/name": "impostor"}
	other := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "impostor", Labels: labels}, Spec: *d.Spec.DeepCopy()}
	other.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	other.Spec.Template.Labels, other.Spec.Template.Spec.ServiceAccountName = labels, "impostor"
	other.Spec.Template.Spec.DeprecatedServiceAccount = "impostor"
	_, err = s.kube.AppsV1().Deployments(systemNamespace).Create(s.ctx, other, metav1.CreateOptions{})
	s.must(err)
}

// pod waits for a pod of a Deployment that is ready.
func (s *inCluster) pod(name string) (ready corev1.Pod) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s", s.logs(name))
		}
	}()
	s.eventually(name+" is ready", time.Minute, func() bool {
		list, err := s.kube.CoreV1().Pods(systemNamespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
		s.must(err)
		for _, pod := range list.Items {
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
					ready = pod
					return true
				}
			}
		}
		return false
	})
	return ready
}

// logs are those of a Deployment's pods.
func (s *inCluster) logs(name string) string {
	list, err := s.kube.CoreV1().Pods(systemNamespace).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, pod := range list.Items {
		stream, err := s.kube.CoreV1().Pods(systemNamespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(s.ctx)
		if err != nil {
			status, _ := json.Marshal(pod.Status)
			fmt.Fprintf(&all, "%s: %v: %s\n", pod.Name, err, status)
			continue
		}
		_, _ = io.Copy(&all, stream)
		_ = stream.Close()
	}
	return all.String()
}

// at is a call of a user's own server through a gateway's pod, under the name that people know.
func (s *inCluster) at(gateway corev1.Pod, user string) *http.Request {
	r := s.toolCall("each", s.token(user, "each"), "echo", fmt.Sprintf(`{"message":%q}`, user))
	r.Host, r.URL.Scheme, r.URL.Host = publicHost, "http", net.JoinHostPort(gateway.Status.PodIP, "8080")
	return r
}

// cleanUp leaves the cluster as e2e-cluster.sh made it.
func (s *inCluster) cleanUp() {
	apps, core, now := s.kube.AppsV1().Deployments(systemNamespace), s.kube.CoreV1(), metav1.DeleteOptions{}
	_ = apps.Delete(s.ctx, "impostor", now)
	_ = core.ServiceAccounts(systemNamespace).Delete(s.ctx, "impostor", now)
	for _, name := range []string{"gateway", "deployer"} {
		d, err := apps.Get(s.ctx, name, metav1.GetOptions{})
		if err == nil {
			d.Spec.Replicas = new(int32)
			_, err = apps.Update(s.ctx, d, metav1.UpdateOptions{})
		}
		if err != nil {
			s.t.Error(err)
		}
	}
	s.eventually("they ended", time.Minute, func() bool {
		list, err := core.Pods(systemNamespace).List(s.ctx, metav1.ListOptions{})
		return err == nil && len(list.Items) == 0
	})
	for _, name := range []string{"mcpgateway-rules", "mcpgateway-name"} {
		_ = core.Secrets(systemNamespace).Delete(s.ctx, name, now)
	}
	_ = core.ConfigMaps(systemNamespace).Delete(s.ctx, "mcpgateway-ingress", now)
	ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=mcpgateway"}
	if err := s.knative.ServingV1().Services(namespace).DeleteCollection(s.ctx, now, ours); err != nil {
		s.t.Error(err)
	}
	_ = core.Secrets(namespace).DeleteCollection(s.ctx, now, ours)
}
