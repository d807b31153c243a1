package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	servingclient "knative.dev/serving/pkg/client/clientset/versioned"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
	"mcpgateway/knative"
	"mcpgateway/knative/names"
)

// What the test cluster is (testcluster/README.md).
const (
	ingress     = "http://127.0.0.1:18000"
	domain      = "example.test"
	sampleImage = "dev.local/mcp-sample:bench"
)

// Where services are. The bare ones have a namespace to themselves, since what is in ours must be as the deployer makes it.
const (
	namespace     = "mcp-servers"
	bareNamespace = "mcp-bench"
)

// window is how long both are awake after a call: the shortest that Knative takes.
const window = 6 * time.Second

// callPatience is how long a call may take: many wakes at once wait for each other.
const callPatience = 2 * time.Minute

// rig is gateway and deployer in front of the cluster, and the services that are compared.
type rig struct {
	settings
	dir     string
	version string // of the cluster
	kube    kubernetes.Interface
	serving servingclient.Interface
	system  *proxytest.Rig
}

// target is one service, and how it is called.
type target struct {
	name, namespace string
	call            *measure.Caller
}

// start puts images into the cluster and starts everything. What it returns must be stopped, with an error too.
func start(ctx context.Context, s settings) (*rig, error) {
	r := &rig{settings: s}
	var err error
	if r.dir, err = os.MkdirTemp("", "mcp"); err != nil { // sockets need a short path
		return r, err
	}
	cluster, err := knative.Credentials(s.kubeconfig)
	if err != nil {
		return r, err
	}
	cluster.QPS, cluster.Burst = 200, 400
	cluster.WarningHandler = rest.NoWarnings{} // a bare pod has nothing that makes it safe
	if r.kube, err = kubernetes.NewForConfig(cluster); err != nil {
		return r, err
	}
	if r.serving, err = servingclient.NewForConfig(cluster); err != nil {
		return r, err
	}
	version, err := r.kube.Discovery().ServerVersion()
	if err != nil {
		return r, err
	}
	r.version = "Kubernetes " + version.GitVersion
	shim, err := r.putImages(ctx)
	if err != nil {
		return r, err
	}
	return r, r.startSystem(ctx, shim)
}

// putImages puts the images of server and shim into the cluster, and returns the shim's name.
func (r *rig) putImages(ctx context.Context) (shim string, err error) {
	made, err := bake.Bake(ctx, nil, bake.Config{Shim: filepath.Join(r.bin, "shim"), Prefix: "dev.local", Archives: r.dir,
		Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	for _, arguments := range [][]string{{filepath.Join(r.dir, "mcp-shim.tar")}, {sampleImage, filepath.Join(r.bin, "sample-server")}} {
		if out, err := exec.CommandContext(ctx, r.image, arguments...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s %v: %w\n%s", r.image, arguments, err, out)
		}
	}
	return made.Shim, nil
}

func (r *rig) startSystem(ctx context.Context, shim string) (err error) {
	if err := os.Mkdir(filepath.Join(r.dir, ".run"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dir, ".run", "rules.key"), []byte(strings.Repeat("r", 32)), 0o600); err != nil {
		return err
	}
	nameKey := filepath.Join(r.dir, "name.key")
	if err := os.WriteFile(nameKey, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		return err
	}
	kubeconfig, err := filepath.Abs(r.kubeconfig)
	if err != nil {
		return err
	}
	r.system, err = proxytest.Start(ctx, proxytest.Config{Bin: r.bin, Dir: r.dir, Catalog: catalogOf(serverID), Platform: fmt.Sprintf(`deployer:
  knative:
    namespace: %s
    kubeconfig: %q
    nameKey: %q
    images: {shim: %q}
    ingress: {url: %q, domain: %s, insecurePlainIngress: true}
`, namespace, kubeconfig, nameKey, shim, ingress, domain)})
	return err
}

// catalogOf offers the sample server under some ids.
func catalogOf(ids ...string) string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nservers:\n")
	for _, id := range ids {
		fmt.Fprintf(&text, "  - {id: %s, title: Sample, runtime: {container: {image: %s, port: 8090, args: [-addr, \"127.0.0.1:8090\"]}}, scale: {idle: %s}}\n",
			id, sampleImage, window)
	}
	fmt.Fprintf(&text, "policies:\n  - {name: all, allow: {users: [%s]}, servers: [\"*\"], tools: [echo]}\n", proxytest.User)
	return text.String()
}

// offer replaces the catalog, at once, as documents are to be replaced. The deployer deploys what is new in it.
func (r *rig) offer(ids ...string) error {
	path := filepath.Join(r.dir, "catalog.yaml")
	if err := os.WriteFile(path+".new", []byte(catalogOf(ids...)), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ours is a server of the catalog.
func (r *rig) ours(id string) (target, error) {
	token, err := r.system.Token(id)
	if err != nil {
		return target{}, err
	}
	return target{names.Service(nil, deploy.Key{Server: id}), namespace, patient(measure.NewCaller(r.system.URL+proxytest.Path(id), token))}, nil
}

// stop takes everything away that was made, and adds what goes wrong with that to err.
func (r *rig) stop(err error) error {
	problems := []error{err}
	if r.system != nil {
		problems = append(problems, r.system.Stop())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r.serving != nil && r.kube != nil {
		ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=mcpgateway"}
		problems = append(problems,
			r.serving.ServingV1().Services(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours),
			r.serving.ServingV1().Services(bareNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
			r.kube.CoreV1().Secrets(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours))
	}
	if err != nil { // its logs are worth reading
		return errors.Join(append(problems, fmt.Errorf("logs are in %s", r.dir))...)
	}
	return errors.Join(append(problems, os.RemoveAll(r.dir))...)
}
