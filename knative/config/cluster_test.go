package config

import (
	"context"
	"os"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	servers = "mcp-servers"
	system  = "mcp-system"
)

// cluster is a real API server to which this folder was applied.
type cluster struct {
	operator *rest.Config
	kube     *kubernetes.Clientset // the operator's
}

// connect skips the test where no cluster is given.
func connect(t *testing.T) cluster {
	t.Helper()
	path := os.Getenv("TEST_KUBECONFIG")
	if path == "" {
		t.Skip("it needs a cluster: TEST_KUBECONFIG names no kubeconfig; knative/e2e.sh brings one up")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the tests ask in turn
	config.WarningHandler = rest.NoWarnings{}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return cluster{operator: config, kube: kube}
}

// account is the configuration of a service account of mcp-system, with a token of its own and nothing of the operator's.
func (c cluster) account(t *testing.T, name string) *rest.Config {
	t.Helper()
	token, err := c.kube.CoreV1().ServiceAccounts(system).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.operator)
	config.BearerToken = token.Status.Token
	return config
}

// as is the configuration of somebody whom the operator's credential stands in for.
func (c cluster) as(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(c.operator)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

func client(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits until nothing is wrong: the API server puts in force what was written a moment later. wrong tells what
// still is, "" for nothing.
func eventually(t *testing.T, wrong func() string) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		still := wrong()
		if still == "" {
			return
		}
		select {
		case <-deadline.Done():
			t.Fatalf("after a minute: %s", still)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// unless is what is wrong where it is not so.
func unless(so bool, wrong string) string {
	if so {
		return ""
	}
	return wrong
}

func toMap(t *testing.T, object runtime.Object) *unstructured.Unstructured {
	t.Helper()
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	delete(m, "status")
	return &unstructured.Unstructured{Object: m}
}

// resource is a resource by its plural, in the version that is asked for. "services" are Knative's.
func resource(name string) schema.GroupVersionResource {
	gvr := resources[name]
	gvr.Resource = name
	return gvr
}

var resources = map[string]schema.GroupVersionResource{
	"secrets":                           {Version: "v1"},
	"configmaps":                        {Version: "v1"},
	"pods":                              {Version: "v1"},
	"events":                            {Version: "v1"},
	"namespaces":                        {Version: "v1"},
	"nodes":                             {Version: "v1"},
	"serviceaccounts":                   {Version: "v1"},
	"replicationcontrollers":            {Version: "v1"},
	"deployments":                       {Group: "apps", Version: "v1"},
	"daemonsets":                        {Group: "apps", Version: "v1"},
	"statefulsets":                      {Group: "apps", Version: "v1"},
	"replicasets":                       {Group: "apps", Version: "v1"},
	"jobs":                              {Group: "batch", Version: "v1"},
	"cronjobs":                          {Group: "batch", Version: "v1"},
	"secretstores":                      {Group: "external-secrets.io", Version: "v1"},
	"externalsecrets":                   {Group: "external-secrets.io", Version: "v1"},
	"networkpolicies":                   {Group: "networking.k8s.io", Version: "v1"},
	"roles":                             {Group: "rbac.authorization.k8s.io", Version: "v1"},
	"rolebindings":                      {Group: "rbac.authorization.k8s.io", Version: "v1"},
	"clusterrolebindings":               {Group: "rbac.authorization.k8s.io", Version: "v1"},
	"services":                          {Group: "serving.knative.dev", Version: "v1"},
	"configurations":                    {Group: "serving.knative.dev", Version: "v1"},
	"revisions":                         {Group: "serving.knative.dev", Version: "v1"},
	"routes":                            {Group: "serving.knative.dev", Version: "v1"},
	"podautoscalers":                    {Group: "autoscaling.internal.knative.dev", Version: "v1alpha1"},
	"validatingadmissionpolicies":       {Group: "admissionregistration.k8s.io", Version: "v1"},
	"validatingadmissionpolicybindings": {Group: "admissionregistration.k8s.io", Version: "v1"},
}
