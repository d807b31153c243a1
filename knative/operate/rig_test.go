package operate

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"mcpgateway/internal/catalog"
	"mcpgateway/knative"
)

// fakeSurveyor says what is told to it.
type fakeSurveyor struct {
	services []knative.Service
	mu       sync.Mutex
	obstacle error
}

func (f *fakeSurveyor) Survey(context.Context) ([]knative.Service, error) { return f.services, nil }

func (f *fakeSurveyor) Obstacle(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.obstacle
}

// fakeAPI is an API server with pods that log.
type fakeAPI struct {
	mu    sync.Mutex
	pods  []corev1.Pod
	logs  map[string]string // by "pod/container", and of a container before "pod/container/previous"
	asked []string          // queries of logs
	proxy http.HandlerFunc  // what is behind the API server
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, activator) {
		f.proxy(w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	pod, log := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/servers/pods/"), "/log")
	if !log {
		_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: f.selected(r.URL.Query().Get("labelSelector"))})
		return
	}
	f.asked = append(f.asked, r.URL.RawQuery)
	key := pod + "/" + r.URL.Query().Get("container")
	if r.URL.Query().Get("previous") == "true" {
		key += "/previous"
	}
	text, ok := f.logs[key]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Message: "previous terminated container not found", Code: 400})
		return
	}
	_, _ = io.WriteString(w, text)
}

func (f *fakeAPI) selected(selector string) []corev1.Pod {
	pods := []corev1.Pod{}
	for _, p := range f.pods {
		matches := true
		for _, term := range strings.Split(selector, ",") {
			name, value, _ := strings.Cut(term, "=")
			matches = matches && p.Labels[name] == value
		}
		if matches {
			pods = append(pods, p)
		}
	}
	return pods
}

// add has a pod be there, whose containers run.
func (f *fakeAPI) add(name string, labels map[string]string, created time.Time, containers ...string) *corev1.Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, CreationTimestamp: metav1.NewTime(created)}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c, ContainerID: name + "/" + c,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
	}
	f.pods = append(f.pods, p)
	return &f.pods[len(f.pods)-1]
}

// newCluster has a shared server, one of each user's own, and one that nobody deployed.
func newCluster(t *testing.T, services ...knative.Service) (*Cluster, *fakeAPI, *fakeSurveyor) {
	t.Helper()
	api := &fakeAPI{logs: map[string]string{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	own := catalog.Server{ID: "own", Instances: catalog.Instances{PerUser: true}}
	entries := []catalog.Server{{ID: "shared"}, own, {ID: "new"}}
	for i := range entries {
		entries[i].Startup.Timeout = catalog.Duration(time.Minute)
	}
	f := &fakeSurveyor{services: services}
	c := &Cluster{
		platform: &catalog.Platform{Catalog: "catalog.yaml", Deployer: catalog.Deployer{Knative: &catalog.Knative{Namespace: "servers",
			Ingress: catalog.KnativeIngress{URL: "http://127.0.0.1:1", Domain: "example.test", InsecurePlainIngress: true}}}},
		catalog: &catalog.Catalog{Servers: entries}, rest: &rest.Config{Host: server.URL, QPS: -1}, deployer: f, lag: 100 * time.Millisecond,
	}
	var err error
	if c.kube, err = kubernetes.NewForConfig(c.rest); err != nil {
		t.Fatal(err)
	}
	return c, api, f
}
