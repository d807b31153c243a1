package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"mcpgateway/internal/proxytest"
	"mcpgateway/internal/secretversion/secretversiontest"
	"mcpgateway/knative"
)

// A server's values come from Secrets Manager by the real External Secrets operator. A rotation is a new revision, while a call
// that is under way goes on with the old value; one that nothing can be made of changes nothing. The fake of Secrets Manager
// fails the test where the deployer asks for a value, or the operator for one without its version.
func TestRotationInSecretsManager(t *testing.T) {
	fake := secretversiontest.Start(t)
	fake.Put("e2e/keep/server", `{"api":"first","other":"x"}`)
	s := start(t, documents{servers: sample("keep", ", env: [{name: API_KEY, secret: {key: api}}]"), policies: everybody,
		knative: "    secretsManager: {prefix: e2e/}\n", deployer: environment(fake, secretversiontest.Describer)})
	s.startOperator(fake)
	alice := s.token("alice", "keep")
	s.eventually("a call is answered", time.Minute, func() bool { return s.echo("keep", alice, "first").echoes("first") })
	before := s.revision("keep")
	if got := s.values("keep"); got[before] != "first" {
		t.Fatalf("the server has %v", got)
	}
	old := s.versions("keep")
	if len(old) != 1 {
		t.Fatalf("made is %q", old)
	}

	under := make(chan answer, 1)
	go func() { under <- ask(s.toolCall("keep", alice, "slow", `{"seconds":45}`)) }()
	fake.Put("e2e/keep/server", `{"api":"second"}`)
	took := s.eventually("the new value is in force", 90*time.Second, func() bool { return s.revision("keep") != before })
	t.Logf("in force %v after the rotation", took.Round(time.Second))
	s.eventually("the new revision has it", 30*time.Second, func() bool { return s.values("keep")[s.revision("keep")] == "second" })
	if got := s.values("keep"); got[before] != "first" {
		t.Errorf("while a call is under way, the old revision has %v", got)
	}
	if a := s.echo("keep", alice, "after"); !a.echoes("after") {
		t.Errorf("after the rotation: %v", a)
	}
	if a := <-under; a.err != nil || a.status != http.StatusOK || !strings.Contains(a.body, "slept") {
		t.Errorf("the call under way: %v", a)
	}

	rotated := s.revision("keep")
	fake.Put("e2e/keep/server", `{"another":"key"}`)
	s.eventually("the log says what is missing", 90*time.Second, func() bool {
		text, _ := os.ReadFile(filepath.Join(s.dir, "deployer.log"))
		return bytes.Contains(text, []byte("the External Secrets operator says SecretSyncedError"))
	})
	if a := s.echo("keep", alice, "still"); !a.echoes("still") || s.revision("keep") != rotated {
		t.Errorf("with a value that is missing: %v by %s", a, s.revision("keep"))
	}
	s.versionEnds(old[0])
	for _, asked := range fake.Asked() {
		if !strings.HasSuffix(asked, " e2e/keep/server") {
			t.Errorf("asked was %s", asked)
		}
	}
}

// values are what servers of an entry have been given, by revision.
func (s *system) values(id string) map[string]string {
	found := map[string]string{}
	processes("", "", func(_ int, environment []byte) {
		var revision, value string
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			name, text, _ := strings.Cut(string(variable), "=")
			switch name {
			case "K_REVISION":
				revision = text
			case "API_KEY":
				value = text
			}
		}
		if strings.HasPrefix(revision, "mcp-"+id+"-") && value != "" {
			found[revision] = value
		}
	})
	return found
}

// versions are the Secrets that were made for an entry's server.
func (s *system) versions(id string) (names []string) {
	s.t.Helper()
	list, err := s.kube.CoreV1().Secrets(namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: "mcpgateway.dev/server=" + id})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, secret := range list.Items {
		if strings.HasPrefix(secret.Name, "mcp-"+id+"-server-") {
			names = append(names, secret.Name)
		}
	}
	return names
}

// versionEnds removes what a Secret was made of, as the deployer does once nothing names it and with its rights: the Secret,
// which it may neither read nor delete, goes with it.
func (s *system) versionEnds(name string) {
	s.t.Helper()
	credentials, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, "deployer.kubeconfig"))
	if err != nil {
		s.t.Fatal(err)
	}
	deployer, err := dynamic.NewForConfig(credentials)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := deployer.Resource(external("externalsecrets")).Namespace(namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the Secret is gone, too", time.Minute, func() bool {
		_, err := s.kube.CoreV1().Secrets(namespace).Get(context.Background(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func external(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: resource}
}

// environment is where a caller of Secrets Manager finds it.
func environment(fake *secretversiontest.SecretsManager, as aws.Credentials) []string {
	return []string{"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=" + as.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + as.SecretAccessKey,
		"AWS_SESSION_TOKEN=" + as.SessionToken, "AWS_ENDPOINT_URL_SECRETS_MANAGER=" + fake.URL, "AWS_SECRETSMANAGER_ENDPOINT=" + fake.URL}
}

// startOperator runs the External Secrets operator as terraform/knative has it run: with rights in one namespace.
func (s *system) startOperator(fake *secretversiontest.SecretsManager) {
	s.t.Helper()
	program := os.Getenv("EXTERNAL_SECRETS")
	if program == "" {
		s.t.Fatal("EXTERNAL_SECRETS names no operator; make e2e-knative builds one")
	}
	cluster, err := knative.Credentials(os.Getenv("TEST_KUBECONFIG"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.grantOperator()
	s.writeCredentials(cluster, "external-secrets")
	objects, err := dynamic.NewForConfig(cluster)
	if err != nil {
		s.t.Fatal(err)
	}
	store := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
		"metadata": map[string]any{"name": "mcpgateway"},
		"spec":     map[string]any{"provider": map[string]any{"aws": map[string]any{"service": "SecretsManager", "region": "eu-central-1", "prefix": "e2e/"}}}}}
	stores := objects.Resource(external("secretstores")).Namespace(namespace)
	if _, err := stores.Create(s.t.Context(), store, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	operator, err := proxytest.StartProcess(proxytest.Command{Path: program, Log: filepath.Join(s.dir, "operator.log"),
		Args: []string{"--namespace=" + namespace, "--metrics-addr=127.0.0.1:0", "--enable-cluster-store-reconciler=false", "--enable-cluster-external-secret-reconciler=false",
			"--enable-push-secret-reconciler=false", "--enable-cluster-push-secret-reconciler=false"},
		Env: append(environment(fake, secretversiontest.Reader), "KUBECONFIG="+filepath.Join(s.dir, "external-secrets.kubeconfig"))})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx := context.Background()
		if err := objects.Resource(external("externalsecrets")).Namespace(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			s.t.Error(err)
		}
		if err := stores.Delete(ctx, store.GetName(), metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
		if text, _ := os.ReadFile(filepath.Join(s.dir, "operator.log")); s.t.Failed() {
			s.t.Logf("operator.log:\n%s", text[max(0, len(text)-4000):])
		}
		_ = operator.Stop() // it has its own ways to end
	})
}

// grantOperator gives the operator's account what its chart gives with scopedRBAC, as far as it is used here.
func (s *system) grantOperator() {
	s.t.Helper()
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "external-secrets"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"external-secrets.io"}, Resources: []string{"externalsecrets", "externalsecrets/status", "secretstores", "secretstores/status"}, Verbs: slices.DeleteFunc(slices.Clone(all), func(verb string) bool { return verb == "create" || verb == "delete" })},
		{APIGroups: []string{"generators.external-secrets.io"}, Resources: []string{"generatorstates"}, Verbs: all},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: all},
		{APIGroups: []string{""}, Resources: []string{"configmaps", "serviceaccounts"}, Verbs: all[:3]},
		{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}}
	ctx, rbac := context.Background(), s.kube.RbacV1()
	if _, err := rbac.Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = rbac.Roles(namespace).Delete(ctx, role.Name, metav1.DeleteOptions{}) })
	account, accounts := &corev1.ServiceAccount{ObjectMeta: role.ObjectMeta}, s.kube.CoreV1().ServiceAccounts("mcp-system")
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = accounts.Delete(ctx, account.Name, metav1.DeleteOptions{}) })
	binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "mcp-system", Name: account.Name}}}
	if _, err := rbac.RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = rbac.RoleBindings(namespace).Delete(ctx, role.Name, metav1.DeleteOptions{}) })
}
