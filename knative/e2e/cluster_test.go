package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	servingclient "knative.dev/serving/pkg/client/clientset/versioned"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/proxytest"
	"mcpgateway/knative"
	"mcpgateway/localstack/lambda"
)

// What the test cluster is (testcluster/README.md), and what e2e.sh put into it.
const (
	ingress     = "http://127.0.0.1:18000"
	domain      = "example.test"
	namespace   = "mcp-servers"
	sampleImage = "dev.local/mcp-sample:e2e"
	spyImage    = "dev.local/mcp-spy:e2e"

	counterImage = "dev.local/mcp-counter:e2e"
	suiteImage   = "dev.local/mcp-suite:e2e"
)

// window is the shortest idle time that Knative takes. Pods are told to leave that and the grace period after the last call.
const window = 6 * time.Second

// programs is the folder of the programs under test, and shimImage the shim's; TestMain makes both.
var programs, shimImage string

func TestMain(m *testing.M) {
	if os.Getenv("TEST_KUBECONFIG") == "" {
		os.Exit(m.Run()) // every test says that it skips
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	if err := makePrograms(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// makePrograms builds programs and images, and puts those into the cluster.
func makePrograms() error {
	for name, source := range map[string]string{"gateway": "functions/gateway", "deployer": "functions/deployer", "shim": "shim", "mcp-sample": "localstack/sample",
		"mcpgateway": "cmd/mcpgateway", "mcp-spy": "knative/e2e/spy", "mcp-counter": "knative/e2e/counter", "mcp-suite": "internal/deploy/deploytest/suiteserver"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(programs, name), "mcpgateway/"+source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // an image from scratch has no libraries
		if err := run(build); err != nil {
			return err
		}
	}
	made, err := bake.Bake(context.Background(), nil, bake.Config{Shim: filepath.Join(programs, "shim"), Prefix: "dev.local", Archives: programs,
		Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	shimImage = made.Shim
	const put = "../testcluster/image.sh"
	err = run(exec.Command(put, filepath.Join(programs, "mcp-shim.tar")))
	for image, program := range map[string]string{sampleImage: "mcp-sample", spyImage: "mcp-spy", counterImage: "mcp-counter", suiteImage: "mcp-suite"} {
		err = errors.Join(err, run(exec.Command(put, image, filepath.Join(programs, program))))
	}
	return err
}

func run(command *exec.Cmd) error {
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", command.Args, err, out)
	}
	return nil
}

// system is gateway, deployer and an issuer, in front of the cluster.
type system struct {
	t         *testing.T
	dir, url  string
	address   string
	issuer    *identitytest.Issuer
	gateway   *proxytest.Process
	deployer  *proxytest.Process
	front     *lambda.Front // in their place, where both are functions
	kube      kubernetes.Interface
	knative   servingclient.Interface
	documents documents
}

// documents are what a test has in platform and catalog, in lines of YAML.
type documents struct {
	servers, policies string
	functions         bool     // gateway and deployer are functions
	knative           string   // more of deployer.knative
	deployer          []string // more of the deployer's environment
}

const everybody = "  - {name: everybody, allow: {anyone: true}, servers: [\"*\"], tools: [\"*\"]}\n"

// sample is an entry with the sample server's image.
func sample(id, more string) string {
	return fmt.Sprintf("  - {id: %s, title: Sample, runtime: {container: {image: %s, port: 8090, args: [-addr, \"127.0.0.1:8090\"]}}, scale: {idle: %s}%s}\n",
		id, sampleImage, window, more)
}

func start(t *testing.T, d documents) *system {
	t.Helper()
	kubeconfig := os.Getenv("TEST_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("TEST_KUBECONFIG names no cluster; make e2e-knative brings one up")
	}
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, dir: dir, address: address, url: "http://" + address, issuer: identitytest.Listen(t, "main"), documents: d}
	cluster := s.connect(kubeconfig)
	s.write("name.key", strings.Repeat("k", 32))
	if err := os.Mkdir(filepath.Join(dir, ".run"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(".run/rules.key", strings.Repeat("r", 32))
	place := ""
	if d.functions {
		place = "  function: deployer\n"
	}
	s.write("platform.yaml", fmt.Sprintf(`apiVersion: v1
publicURL: %s
issuers: [{name: main, url: %s, audiences: ["{resource}"], groupsClaim: groups, default: true}]
limits: {callsPerSecond: 1000, burst: 1000, wakesPerMinute: 1000, callTimeout: 10m}
deployer:
%s  knative:
    namespace: %s
    nameKey: name.key
    images: {shim: %q}
    ingress: {url: %q, domain: %s, insecurePlainIngress: true}
%s`, s.url, s.issuer.URL, place, namespace, shimImage, ingress, domain, d.knative))
	s.writeCredentials(cluster, "gateway")
	s.writeCredentials(cluster, "deployer")
	s.writeCatalog()
	if d.functions {
		s.startFunctions()
	} else {
		s.startDeployer()
		s.startGateway()
	}
	t.Cleanup(s.stop)
	return s
}

// connect has the test ask the API server by an administrator's credentials, which it returns.
func (s *system) connect(kubeconfig string) *rest.Config {
	s.t.Helper()
	cluster, err := knative.Credentials(kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.kube, err = kubernetes.NewForConfig(cluster); err != nil {
		s.t.Fatal(err)
	}
	if s.knative, err = servingclient.NewForConfig(cluster); err != nil {
		s.t.Fatal(err)
	}
	return cluster
}

// writeCredentials writes a kubeconfig with the rights that a program has in a cluster, and no others.
func (s *system) writeCredentials(cluster *rest.Config, account string) {
	s.t.Helper()
	token, err := s.kube.CoreV1().ServiceAccounts("mcp-system").CreateToken(context.Background(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := rest.LoadTLSFiles(cluster); err != nil {
		s.t.Fatal(err)
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: cluster.Host, CertificateAuthorityData: cluster.CAData}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	c.CurrentContext = "x"
	if err := clientcmd.WriteToFile(*c, filepath.Join(s.dir, account+".kubeconfig")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) writeCatalog() {
	s.t.Helper()
	s.write("catalog.yaml", "apiVersion: v1\nservers:\n"+s.documents.servers+"policies:\n"+s.documents.policies)
}

// write replaces a file at once, as documents are to be replaced.
func (s *system) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) socket() string { return filepath.Join(s.dir, ".run", "deployer.sock") }

func (s *system) startDeployer() {
	_ = os.Remove(s.socket()) // of a run that was killed: its presence must not pass for readiness
	s.deployer = s.start("deployer", "unix", s.socket())
}

func (s *system) startGateway() { s.gateway = s.start("gateway", "tcp", s.address) }

func (s *system) start(name, network, address string) *proxytest.Process {
	s.t.Helper()
	env := []string{"PLATFORM=" + filepath.Join(s.dir, "platform.yaml"), "LISTEN=" + s.address, "KUBECONFIG=" + filepath.Join(s.dir, name+".kubeconfig")}
	if name == "deployer" {
		env = append(env, s.documents.deployer...)
	}
	p, err := proxytest.StartProcess(proxytest.Command{Path: filepath.Join(programs, name), Log: filepath.Join(s.dir, name+".log"), Env: env})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.Await(context.Background(), network, address); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// stop ends the processes, and takes what they made out of the cluster.
func (s *system) stop() {
	if s.front != nil {
		s.front.Close()
	}
	for _, p := range []*proxytest.Process{s.gateway, s.deployer} {
		if p == nil {
			continue
		}
		if err := p.Stop(); err != nil {
			s.t.Error(err)
		}
	}
	if s.t.Failed() {
		s.tellAll()
	}
	ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=mcpgateway"}
	ctx := context.Background()
	err := s.knative.ServingV1().Services(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours)
	if err != nil {
		s.t.Error(err)
	}
	if err := s.kube.CoreV1().Secrets(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours); err != nil {
		s.t.Error(err)
	}
	_ = os.RemoveAll(s.dir)
}

// tellAll prints what is worth reading after a failure.
func (s *system) tellAll() {
	for _, log := range []string{"gateway.log", "deployer.log"} {
		b, _ := os.ReadFile(filepath.Join(s.dir, log))
		s.t.Logf("%s:\n%s", log, b[max(0, len(b)-4000):])
	}
	for _, pod := range s.pods("") {
		status, _ := json.Marshal(pod.Status.ContainerStatuses)
		s.t.Logf("pod %s: %s %s", pod.Name, pod.Status.Phase, status)
		for _, c := range pod.Spec.Containers {
			lines := int64(10)
			text, err := s.kube.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: c.Name, TailLines: &lines}).DoRaw(context.Background())
			s.t.Logf("%s of %s: %v\n%s", c.Name, pod.Name, err, text)
		}
	}
}

// pods are those of a server that were not told to leave; of all servers where the id is empty.
func (s *system) pods(id string) (there []corev1.Pod) {
	selector := "app.kubernetes.io/managed-by=mcpgateway"
	if id != "" {
		selector += ",mcpgateway.dev/server=" + id
	}
	list, err := s.kube.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			there = append(there, pod)
		}
	}
	return there
}

// revision is the newest revision of a shared server that takes calls; empty where there is none.
func (s *system) revision(id string) string {
	s.t.Helper()
	service, err := s.knative.ServingV1().Services(namespace).Get(context.Background(), "mcp-"+id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return service.Status.LatestReadyRevisionName
}

func (s *system) eventually(what string, within time.Duration, holds func() bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for time.Since(began) < within {
		if holds() {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("after %v still not: %s", within, what)
	return 0
}

func (s *system) resource(server string) string { return s.url + "/mcp-connect/" + server }

func (s *system) token(subject, server string) string {
	return s.issuer.Token(s.t, subject, s.resource(server), nil, nil)
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// request is a request of the modern era; header is name, value, name, value.
func (s *system) request(server, token, method, params string, header ...string) *http.Request {
	s.t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + modernMeta + `}}`
	r, err := http.NewRequest(http.MethodPost, s.resource(server), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Authorization": "Bearer " + token, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method} {
		r.Header.Set(name, value)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (s *system) toolCall(server, token, tool, arguments string) *http.Request {
	return s.request(server, token, "tools/call", `"name":"`+tool+`","arguments":`+arguments+`,`, "Mcp-Name", tool)
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	err    error
}

// ask may be used by several goroutines.
func ask(r *http.Request) answer { return askBy(http.DefaultTransport, r) }

func askBy(transport http.RoundTripper, r *http.Request) answer {
	began := time.Now()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), time.Since(began), err}
}

// echoes reports whether the sample server's echo answered.
func (a answer) echoes(text string) bool {
	return a.err == nil && a.status == http.StatusOK && strings.Contains(a.body, text) && !strings.Contains(a.body, `"error"`)
}

func (a answer) String() string {
	return fmt.Sprintf("%d %.300s in %v, %v", a.status, a.body, a.took.Round(time.Millisecond), a.err)
}

func (s *system) echo(server, token, text string) answer {
	return ask(s.toolCall(server, token, "echo", fmt.Sprintf(`{"message":%q}`, text)))
}

func (s *system) hasRevision(name string) bool {
	_, err := s.knative.ServingV1().Revisions(namespace).Get(context.Background(), name, metav1.GetOptions{})
	return err == nil
}
