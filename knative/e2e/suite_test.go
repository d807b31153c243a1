package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/knative"
)

var suiteKey = []byte(strings.Repeat("s", 32))

// The suite that every deployer passes.
func TestSuite(t *testing.T) {
	kubeconfig := os.Getenv("TEST_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("TEST_KUBECONFIG names no cluster; make e2e-knative brings one up")
	}
	var spaces atomic.Int32
	deploytest.Run(t, func(t *testing.T) deploytest.Bench {
		t.Parallel() // each has a namespace of its own, and most wait
		return newSpace(t, kubeconfig, fmt.Sprintf("suite-%d-%d", os.Getpid(), spaces.Add(1))).bench()
	})
}

// space is a namespace with a deployer under test.
type space struct {
	t          *testing.T
	kubeconfig string
	name       string
	kube       kubernetes.Interface
	log        *syncLog
}

func newSpace(t *testing.T, kubeconfig, name string) *space {
	t.Helper()
	cluster, err := knative.Credentials(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s := &space{t: t, kubeconfig: kubeconfig, name: name, log: &syncLog{}}
	if s.kube, err = kubernetes.NewForConfig(cluster); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := s.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the deployer's log:\n%s", s.log)
		}
		if err := s.kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *space) bench() deploytest.Bench {
	return deploytest.Bench{
		Deployer: s.deployer(),
		Again:    s.deployer,
		Runtime: func(args ...string) catalog.Runtime {
			return catalog.Runtime{Container: &catalog.Container{Image: suiteImage, Port: 8090, Args: append([]string{deploytest.Program, "-port", "8090"}, args...)}}
		},
		PutSecret: s.putSecret,
		Kill: func(instance deploy.Instance, unit string) {
			pid := s.pid(instance, unit)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				s.t.Fatal(err)
			}
		},
		Environ: func(instance deploy.Instance, unit string) []string {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.pid(instance, unit)))
			if err != nil {
				s.t.Fatal(err)
			}
			return strings.Split(string(text), "\x00")
		},
		Log:      s.log.String,
		Idle:     window,
		Lasting:  true,
		Patience: 2 * time.Minute, // for rules: a mounted ConfigMap may lag by more than one
	}
}

func (s *space) deployer() deploytest.Deployer {
	cluster, err := knative.Credentials(s.kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	at, err := url.Parse(ingress)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := knative.New(knative.Config{Cluster: cluster, Ingress: at, Domain: domain, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Lock:     filepath.Join(s.t.TempDir(), "catalog.lock"),
		Settings: knative.Settings{Namespace: s.name, NameKey: suiteKey, CallTimeout: time.Minute, Images: map[string]string{deploy.ImageShim: shimImage}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return caller{d}
}

// caller is a deployer as the gateway uses it: Ensure alone wakes nothing, a request does, and Ensure says what keeps it.
type caller struct{ *knative.Deployer }

func (c caller) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	began := time.Now()
	instance, err := c.Deployer.Ensure(ctx, p)
	if err != nil || !instance.Cold {
		return instance, err
	}
	asking, stop := context.WithTimeout(context.WithoutCancel(ctx), p.Startup)
	go func() {
		defer stop()
		knock(asking, instance, p.Server)
	}()
	for time.Since(began) < p.Startup {
		select {
		case <-ctx.Done():
			return deploy.Instance{}, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		now, err := c.Deployer.Ensure(ctx, p)
		if err != nil || !now.Cold {
			now.Cold = true
			return now, err
		}
	}
	return deploy.Instance{}, &deploy.StartError{Code: deploy.CodeTimeout, Message: "The server did not start in time.", RetryAfter: time.Second}
}

// knock asks until the shim answers, which refuses, as who asks is nobody. At first the ingress may not know the service.
func knock(ctx context.Context, at deploy.Instance, server string) {
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL+"/mcp-connect/"+server, nil)
		if err != nil {
			return
		}
		r.Host = at.Host
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			_ = resp.Body.Close()
			if resp.Header.Get(mcp.HeaderShim) != "" {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// putSecret makes a store, or sets a key of it, as an operator does. What gateway and shim share is the deployer's, which
// cannot add it to a store that is there.
func (s *space) putSecret(store, key, value string) {
	s.t.Helper()
	ctx, secrets := context.Background(), s.kube.CoreV1().Secrets(s.name)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: store}, Data: map[string][]byte{key: []byte(value)}}
	if server, ok := strings.CutSuffix(strings.TrimPrefix(store, "mcp-"), "-shim"); ok {
		secret.Data[deploy.KeyGateway] = sealedtoken.Key(suiteKey, server)
	}
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		patch := fmt.Sprintf(`{"stringData":{%q:%q}}`, key, value)
		_, err = secrets.Patch(ctx, store, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// pid finds a container's process: the cluster's only node is this machine.
func (s *space) pid(instance deploy.Instance, unit string) int {
	s.t.Helper()
	pods, err := s.kube.CoreV1().Pods(s.name).List(context.Background(), metav1.ListOptions{LabelSelector: "serving.knative.dev/revision=" + instance.ID})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			_, id, _ := strings.Cut(c.ContainerID, "://")
			if c.Name != unit || id == "" || pod.DeletionTimestamp != nil {
				continue
			}
			groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
			for _, file := range groups {
				text, _ := os.ReadFile(file)
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && bytes.Contains(text, []byte(id)) {
					return pid
				}
			}
		}
	}
	s.t.Fatalf("no process is %s of %s", unit, instance.ID)
	return 0
}

// syncLog is a log that may be read while it is written.
type syncLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
