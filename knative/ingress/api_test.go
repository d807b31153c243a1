package ingress

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
)

// awake is a list with a revision that runs.
var awake = list(revision("mcp-github-00001", "Reachable", 0, 1, 1))

// Tokens in files are renewed there: each question reads it anew.
func TestTokenIsReadAgain(t *testing.T) {
	fake := newFakeAPI(t, func(string) (int, string) { return 200, awake })
	dir := t.TempDir()
	file := fake.kubeconfig(t, dir)
	write(t, dir, "ca.crt", fake.ca)
	byFile, err := readKubeconfig(file)
	if err != nil {
		t.Fatal(err)
	}
	inPod, err := inCluster(fake.URL, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"secret", "renewed"} {
		fake.token.Store(token)
		for name, a := range map[string]*api{"kubeconfig": byFile, "pod": inPod} {
			if _, err := a.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); (err == nil) != (token == "secret") {
				t.Errorf("%s, before the file is renewed: %v", name, err)
			}
		}
		write(t, dir, "token", token)
		for name, a := range map[string]*api{"kubeconfig": byFile, "pod": inPod} {
			if text, err := a.podAutoscalers(t.Context(), "mcp-servers", "mcp-github"); err != nil || string(text) != awake {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
		write(t, dir, "token", "secret")
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"list":      {200, awake, ""},
		"forbidden": {403, `{"kind":"Status"}`, "403"},
		"endless":   {200, strings.Repeat(" ", maxList+1), "more than"},
	} {
		api := newFakeAPI(t, func(string) (int, string) { return tt.status, tt.body })
		k, err := newCluster(t, api, nil)
		if err != nil {
			t.Fatal(err)
		}
		state, err := k.State(t.Context(), github, Fresh)
		if tt.want == "" && (err != nil || state != Awake) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %d, %v", name, state, err)
		}
	}
}

// A token is for the API and for nobody whom it names.
func TestRedirectIsNotFollowed(t *testing.T) {
	strangers := 0
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers++ }))
	defer stranger.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(stranger.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	dir := t.TempDir()
	write(t, dir, "token", "secret")
	write(t, dir, "ca.crt", newFakeAPI(t, nil).ca)
	a, err := inCluster(server.URL, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.podAutoscalers(t.Context(), "n", "s"); err == nil || strangers != 0 {
		t.Errorf("%v; the stranger was asked %d times", err, strangers)
	}
}

func TestFindAPI(t *testing.T) {
	api := newFakeAPI(t, nil)
	file := api.kubeconfig(t, t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", "")
	if _, err := findAPI(&catalog.Knative{}, nil); err == nil || !strings.Contains(err.Error(), "kubeconfig") {
		t.Errorf("with nothing: %v", err)
	}
	t.Setenv("KUBECONFIG", "/none")
	if a, err := findAPI(&catalog.Knative{Kubeconfig: file}, nil); err != nil || a.server != api.URL {
		t.Errorf("by the platform file: %v", err)
	}
	t.Setenv("KUBECONFIG", file)
	if a, err := findAPI(&catalog.Knative{}, nil); err != nil || a.server != api.URL {
		t.Errorf("by the environment: %v", err)
	}
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if _, err := os.Stat(serviceAccount); err != nil {
		if _, err := findAPI(&catalog.Knative{}, nil); !os.IsNotExist(err) {
			t.Errorf("in a pod without credentials: %v", err)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	authority, _ := certificate(t)
	cert, key := certificate(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": authority, "cert.pem": cert, "key.pem": key} {
		write(t, dir, name, text)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	text := func(cluster, user string) string {
		return fmt.Sprintf("current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {%s}}]\nusers: [{name: u, user: {%s}}]\n", cluster, user)
	}
	const good, token = `server: "https://api.test:6443/", certificate-authority: ca.pem`, "token: hunter2"
	for name, tt := range map[string]struct{ text, want string }{
		"token":              {text(good, token), ""},
		"authority as data":  {text(`server: "https://api.test", certificate-authority-data: `+b64(authority), token), ""},
		"certificate":        {text(good, "client-certificate: cert.pem, client-key: key.pem"), ""},
		"certificate, data":  {text(good, "client-certificate-data: "+b64(cert)+", client-key-data: "+b64(key)), ""},
		"more than we read":  {"kind: Config\npreferences: {}\n" + text(good+", x: 1", token), ""},
		"no YAML":            {"hunter2: [", "no YAML"},
		"another form":       {"users: hunter2", "no YAML"},
		"no context":         {strings.Replace(text(good, token), "current-context: c", "", 1), "current context"},
		"no cluster":         {strings.Replace(text(good, token), "cluster: k", "cluster: x", 1), "current context"},
		"no user":            {strings.Replace(text(good, token), "user: u", "user: x", 1), "current context"},
		"plain text":         {text(strings.Replace(good, "https", "http", 1), token), "https://"},
		"no server":          {text("certificate-authority: ca.pem", token), "https://"},
		"no authority":       {text(`server: "https://api.test"`, token), "certificate-authority"},
		"missing authority":  {text(`server: "https://api.test", certificate-authority: none.pem`, token), "certificate-authority"},
		"no PEM":             {text(`server: "https://api.test", certificate-authority-data: `+b64("hunter2"), token), "no certificate"},
		"no base64":          {text(`server: "https://api.test", certificate-authority-data: "*"`, token), "base64"},
		"trust in everybody": {text(good+", insecure-skip-tls-verify: true", token), "insecure-skip-tls-verify"},
		"proxy":              {text(good+`, proxy-url: "http://p"`, token), "proxy-url"},
		"program":            {text(good, "exec: {command: aws}"), "exec"},
		"password":           {text(good, "username: a, password: hunter2"), "username"},
		"nobody":             {text(good, ""), "client-certificate"},
		"no key":             {text(good, "client-certificate: cert.pem"), "client-key"},
		"another's key":      {text(good, "client-certificate: ca.pem, client-key: key.pem"), "client-key"},
	} {
		a, err := parseKubeconfig([]byte(tt.text), dir)
		switch {
		case tt.want == "" && (err != nil || !strings.HasPrefix(a.server, "https://api.test") || strings.HasSuffix(a.server, "/")):
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// A client certificate says who asks, and then no token does.
func TestClientCertificate(t *testing.T) {
	cert, key := certificate(t)
	var asked, certified, authorized int
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		certified += len(r.TLS.PeerCertificates)
		authorized += len(r.Header["Authorization"])
		_, _ = w.Write([]byte(awake))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	write(t, dir, "c", cert)
	write(t, dir, "k", key)
	write(t, dir, "ca", newFakeAPI(t, nil).ca)
	a, err := parseKubeconfig([]byte("current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {server: \""+
		server.URL+"\", certificate-authority: ca}}]\nusers: [{name: u, user: {client-certificate: c, client-key: k}}]\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.podAutoscalers(ctx, "n", "s"); err != nil || asked != 1 || certified != 1 || authorized != 0 {
		t.Errorf("%v: asked %d times, with %d certificates and %d tokens", err, asked, certified, authorized)
	}
}
