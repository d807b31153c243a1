package operate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
	"mcpgateway/knative"
)

// services are what the cluster of these tests has.
func services() []knative.Service {
	return []knative.Service{
		{Name: "mcp-shared", Server: "shared", Revision: "mcp-shared-00001", State: knative.Asleep},
		{Name: "mcp-own-0123456789abcdef", Server: "own", Owner: "0123456789abcdef", Revision: "mcp-own-0123456789abcdef-00001", State: knative.Awake},
	}
}

// shim answers as the shim of a server does.
func shim(server string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if server != "" {
			w.Header().Set(mcp.HeaderShim, server)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("\x1bsomebody"))
	}
}

func wake(t *testing.T, c *Cluster, id, owner string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := c.Wake(t.Context(), id, owner, &out)
	return out.String(), err
}

// behind has an ingress answer, over TLS.
func behind(t *testing.T, c *Cluster, h http.HandlerFunc) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeAuthority(t, ca, server.Certificate().Raw)
	c.platform.Deployer.Knative.Ingress = catalog.KnativeIngress{URL: server.URL, Domain: "example.test", CA: ca}
}

func writeAuthority(t *testing.T, file string, certificate []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// strangerCertificate is of an authority that signed nothing here.
func strangerCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestWakeThroughIngress(t *testing.T) {
	c, api, _ := newCluster(t, services()...)
	api.add("p-1", map[string]string{"serving.knative.dev/service": "mcp-shared"}, noon, "shim", "server").Spec.NodeName = "n1"
	api.pods[0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	var asked *http.Request
	behind(t, c, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		shim("shared", 200)(w, r)
	})
	out, err := wake(t, c, "shared", "")
	if err != nil {
		t.Fatal(err)
	}
	if asked.Method != http.MethodGet || asked.Host != "mcp-shared.servers.example.test" || asked.URL.Path != "/readyz" ||
		asked.Header.Get("Authorization") != "" || asked.Header.Get("User-Agent") != "mcpgateway" {
		t.Errorf("it sent %s %s%s %v", asked.Method, asked.Host, asked.URL, asked.Header)
	}
	for _, line := range []string{"mcp-shared is asleep", "pod p-1", "on node n1", "shim started", "server started", "ready", "answered: it takes calls"} {
		if strings.Count(out, line+"\n") != 1 {
			t.Errorf("it does not tell once %q:\n%s", line, out)
		}
	}
}

// An ingress that has not heard yet of what was just deployed is asked again.
func TestWakeWaitsForIngress(t *testing.T) {
	c, _, _ := newCluster(t, services()...)
	var asked atomic.Int32
	behind(t, c, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.NotFound(w, r)
			return
		}
		shim("shared", 200)(w, r)
	})
	c.lag = 4 * time.Second
	if out, err := wake(t, c, "shared", ""); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times: %s%v", asked.Load(), out, err)
	}
}

func TestWakeOfOneUser(t *testing.T) {
	c, _, _ := newCluster(t, services()...)
	behind(t, c, shim("own", 200))
	if out, err := wake(t, c, "own", "0123456789abcdef"); err != nil || !strings.Contains(out, "is awake\n") {
		t.Errorf("%s%v", out, err)
	}
}

// Where no ingress is reached the API server passes the request on, by the revision.
func TestWakeThroughAPI(t *testing.T) {
	c, api, _ := newCluster(t, services()...)
	var asked *http.Request
	api.proxy = func(w http.ResponseWriter, r *http.Request) {
		asked = r
		shim("shared", 200)(w, r)
	}
	out, err := wake(t, c, "shared", "")
	if err != nil || !strings.Contains(out, "asked through the API server") {
		t.Fatalf("%s%v", out, err)
	}
	if asked.URL.Path != activator+"/readyz" || asked.Header.Get("Knative-Serving-Revision") != "mcp-shared-00001" || asked.Header.Get("Knative-Serving-Namespace") != "servers" {
		t.Errorf("it sent %s %v", asked.URL, asked.Header)
	}
}

func TestWakeFails(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	hangs := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-never:
		}
	}
	for name, tt := range map[string]struct {
		ingress   http.HandlerFunc
		id, owner string
		obstacle  error
		want      string
	}{
		"not deployed":       {hangs, "new", "", nil, "server new: it is not deployed"},
		"unknown":            {hangs, "nobody", "", nil, "has no server"},
		"whose":              {hangs, "own", "", nil, "--owner says whose"},
		"another user's":     {hangs, "own", "fedcba9876543210", nil, "it is not deployed"},
		"no user's":          {hangs, "shared", "fedcba9876543210", nil, "the same for all users"},
		"not ready":          {shim("shared", 503), "shared", "", nil, "its shim runs, and cannot reach the server"},
		"the ingress":        {shim("", 404), "shared", "", nil, "the ingress does not know it"},
		"a proxy":            {shim("", 502), "shared", "", nil, "something before it: 502 Bad Gateway: ?somebody"},
		"another shim":       {shim("other", 200), "shared", "", nil, "something before it: 200 OK"},
		"a redirect":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "shared", "", nil, "something before it: 302"},
		"what is in its way": {hangs, "shared", "", errors.New("container server: ErrImagePull\nno such \x1bimage"), "does not start: container server: ErrImagePull\nno such ?image"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, surveyor := newCluster(t, services()...)
			surveyor.obstacle = tt.obstacle
			behind(t, c, tt.ingress)
			if out, err := wake(t, c, tt.id, tt.owner); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v after\n%s\nwant %q", err, out, tt.want)
			}
		})
	}
}

// A certificate of another authority is no reason to go another way.
func TestWakeTrustsOneAuthority(t *testing.T) {
	c, api, _ := newCluster(t, services()...)
	api.proxy = func(http.ResponseWriter, *http.Request) { t.Error("it went through the API server") }
	behind(t, c, shim("shared", 200))
	writeAuthority(t, c.platform.Deployer.Knative.Ingress.CA, strangerCertificate(t))
	if _, err := wake(t, c, "shared", ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// A revision that takes no calls cannot be woken.
func TestWakeWithoutRevision(t *testing.T) {
	all := services()
	all[0].Revision, all[0].Trouble = "", "RevisionFailed: no image"
	c, _, _ := newCluster(t, all...)
	if _, err := wake(t, c, "shared", ""); err == nil || !strings.Contains(err.Error(), "no revision that takes calls yet: RevisionFailed: no image") {
		t.Errorf("got %v", err)
	}
}

// It is given up with its startup time.
func TestWakeTakesNoLongerThanItMay(t *testing.T) {
	c, _, _ := newCluster(t, services()...)
	c.catalog.Servers[0].Startup.Timeout = catalog.Duration(-grace + 50*time.Millisecond)
	over := make(chan struct{})
	behind(t, c, func(http.ResponseWriter, *http.Request) { <-over }) // who returned when the caller leaves might still be heard
	t.Cleanup(func() { close(over) })
	if _, err := wake(t, c, "shared", ""); err == nil || !strings.Contains(err.Error(), "no answer after") {
		t.Errorf("got %v", err)
	}
}
