package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// attempt is one request to the API server.
type attempt struct {
	verb, resource, sub string
	namespace, name     string // "" is all namespaces, and no name
}

func (a attempt) String() string {
	return strings.TrimRight(fmt.Sprintf("%s %s in %q %s", a.verb, a.resourceName(), a.namespace, a.name), " ")
}

// resourceName is what rules call it.
func (a attempt) resourceName() string {
	if a.sub != "" {
		return a.resource + "/" + a.sub
	}
	return a.resource
}

// send sends the request; what it would change stays as it is.
func (a attempt) send(ctx context.Context, c dynamic.Interface) error {
	at := c.Resource(resource(a.resource)).Namespace(a.namespace)
	var subs []string
	if a.sub != "" {
		subs = []string{a.sub}
	}
	dry, err := []string{metav1.DryRunAll}, error(nil)
	object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": a.name}}}
	object.SetGroupVersionKind(resource(a.resource).GroupVersion().WithKind("Attempt"))
	switch a.verb {
	case "get":
		_, err = at.Get(ctx, a.name, metav1.GetOptions{}, subs...)
	case "list":
		options := metav1.ListOptions{}
		if a.name != "" {
			options.FieldSelector = "metadata.name=" + a.name
		}
		_, err = at.List(ctx, options)
	case "watch":
		watching, failed := at.Watch(ctx, metav1.ListOptions{})
		if err = failed; err == nil {
			watching.Stop()
		}
	case "create":
		_, err = at.Create(ctx, object, metav1.CreateOptions{DryRun: dry}, subs...)
	case "update":
		_, err = at.Update(ctx, object, metav1.UpdateOptions{DryRun: dry}, subs...)
	case "patch":
		_, err = at.Patch(ctx, a.name, types.MergePatchType, []byte(`{}`), metav1.PatchOptions{DryRun: dry}, subs...)
	case "delete":
		err = at.Delete(ctx, a.name, metav1.DeleteOptions{DryRun: dry}, subs...)
	case "deletecollection":
		err = at.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{})
	default:
		err = errors.New("there is no such verb")
	}
	return err
}

// refusedByRole says whether nothing gives the right to do it. The API server says so before it looks at the request.
func (a attempt) refusedByRole(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), fmt.Sprintf("cannot %s resource %q", a.verb, a.resourceName()))
}

// victims are Secrets that gateway and deployer try to learn.
var victims = map[string][]string{servers: {"mcp-other-shim", "mcp-other-server"}, system: {"mcpgateway-rules", "mcpgateway-name"}}

// refusedToBoth is what neither the gateway nor the deployer may do.
func refusedToBoth() []attempt {
	var all []attempt
	for _, namespace := range slices.Sorted(maps.Keys(victims)) {
		for _, name := range victims[namespace] {
			// update, patch and delete answer with the Secret.
			for _, verb := range []string{"get", "list", "update", "patch", "delete"} {
				all = append(all, attempt{verb: verb, resource: "secrets", namespace: namespace, name: name})
			}
		}
		for _, verb := range []string{"list", "watch", "deletecollection"} {
			all = append(all, attempt{verb: verb, resource: "secrets", namespace: namespace})
		}
	}
	all = append(all, attempt{verb: "list", resource: "secrets"}, attempt{verb: "watch", resource: "secrets"},
		attempt{verb: "create", resource: "secrets", namespace: system, name: "mcp-x-shim"})
	for _, namespace := range []string{servers, system} {
		for _, runs := range []string{"pods", "jobs", "cronjobs", "deployments", "daemonsets", "statefulsets", "replicasets", "replicationcontrollers"} {
			all = append(all, attempt{verb: "create", resource: runs, namespace: namespace, name: "intruder"},
				attempt{verb: "patch", resource: runs, namespace: namespace, name: "intruder"})
		}
		for _, sub := range []string{"exec", "attach", "portforward", "eviction", "binding"} {
			all = append(all, attempt{verb: "create", resource: "pods", sub: sub, namespace: namespace, name: "intruder"})
		}
		all = append(all,
			attempt{verb: "patch", resource: "pods", sub: "ephemeralcontainers", namespace: namespace, name: "intruder"},
			attempt{verb: "create", resource: "serviceaccounts", namespace: namespace, name: "intruder"},
			attempt{verb: "create", resource: "roles", namespace: namespace, name: "intruder"},
			attempt{verb: "create", resource: "rolebindings", namespace: namespace, name: "intruder"},
			attempt{verb: "patch", resource: "roles", namespace: namespace, name: "deployer"},
		)
	}
	return append(all,
		attempt{verb: "create", resource: "serviceaccounts", sub: "token", namespace: system, name: "deployer"},
		attempt{verb: "create", resource: "serviceaccounts", sub: "token", namespace: servers, name: "mcp-server"},
		attempt{verb: "create", resource: "services", namespace: system, name: "mcp-x"},
		attempt{verb: "create", resource: "configurations", namespace: servers, name: "mcp-x"},
		attempt{verb: "create", resource: "revisions", namespace: servers, name: "mcp-x"},
		attempt{verb: "patch", resource: "revisions", namespace: servers, name: "mcp-x"},
		attempt{verb: "create", resource: "routes", namespace: servers, name: "mcp-x"},
		attempt{verb: "deletecollection", resource: "services", namespace: servers},
		attempt{verb: "deletecollection", resource: "networkpolicies", namespace: servers},
		attempt{verb: "deletecollection", resource: "configmaps", namespace: servers},
		attempt{verb: "deletecollection", resource: "externalsecrets", namespace: servers},
		attempt{verb: "create", resource: "secretstores", namespace: servers, name: "mcpgateway"},
		attempt{verb: "patch", resource: "secretstores", namespace: servers, name: "mcpgateway"},
		// What limits them.
		attempt{verb: "patch", resource: "configmaps", namespace: system, name: "mcp-admission"},
		attempt{verb: "delete", resource: "configmaps", namespace: system, name: "mcp-admission"},
		attempt{verb: "patch", resource: "networkpolicies", namespace: system, name: "default-deny"},
		attempt{verb: "patch", resource: "namespaces", name: servers},
		attempt{verb: "patch", resource: "validatingadmissionpolicies", name: "mcp-services"},
		attempt{verb: "delete", resource: "validatingadmissionpolicybindings", name: "mcp-services"},
		attempt{verb: "create", resource: "clusterrolebindings", name: "intruder"},
		attempt{verb: "get", resource: "nodes", sub: "proxy", name: "vm"},
	)
}

// refusedToGateway is what only the deployer may do.
func refusedToGateway() []attempt {
	all := refusedToBoth()
	for _, kind := range []string{"services", "configmaps", "networkpolicies", "externalsecrets", "revisions", "pods", "events"} {
		for _, verb := range []string{"get", "create", "patch", "delete"} {
			a := attempt{verb: verb, resource: kind, namespace: servers, name: "mcp-x"}
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
		all = append(all, attempt{verb: "list", resource: kind, namespace: servers})
	}
	return append(all, attempt{verb: "create", resource: "secrets", namespace: servers, name: "mcp-x-shim"},
		attempt{verb: "get", resource: "pods", sub: "log", namespace: servers, name: "mcp-x"},
		attempt{verb: "patch", resource: "podautoscalers", namespace: servers, name: "mcp-x"},
		attempt{verb: "list", resource: "podautoscalers"})
}

// allowed is what each may do, and why.
var allowed = map[string]map[string]string{
	"gateway": {
		"podautoscalers get": "whether a server is awake", "podautoscalers list": "the first look of a watch", "podautoscalers watch": "that it fell asleep",
	},
	"deployer": {
		"services get": "what is there", "services list": "what the catalog no longer names", "services watch": "that it became ready",
		"services create": "a first call", "services patch": "server-side apply", "services delete": "an entry that is gone",
		"revisions get": "why it is not ready", "revisions list": "old ones", "revisions watch": "that it became ready", "revisions delete": "old ones",
		"networkpolicies get": "what is there", "networkpolicies list": "what the catalog no longer names", "networkpolicies watch": "that it was changed",
		"networkpolicies create": "an entry's egress", "networkpolicies patch": "server-side apply", "networkpolicies delete": "an entry that is gone",
		"configmaps get": "which rules are there", "configmaps list": "what the catalog no longer names", "configmaps watch": "that they were changed",
		"configmaps create": "an entry's rules", "configmaps patch": "server-side apply", "configmaps delete": "an entry that is gone",
		"secrets create":       "an entry's keys",
		"externalsecrets list": "versions that nothing has any more", "externalsecrets watch": "that the operator made the Secret",
		"externalsecrets create": "a version of an entry's values", "externalsecrets patch": "server-side apply", "externalsecrets delete": "one that nothing has any more",
		"pods get": "how a start fails", "pods list": "pods of a revision", "pods watch": "that a start failed",
		"pods/log get": "a failed start's last lines",
		"events get":   "refusals of quota and scheduler", "events list": "those of a revision", "events watch": "new ones",
	},
}

// TestRoles sees that the Roles give what is needed and no more, as files.
func TestRoles(t *testing.T) {
	all := manifests(t)
	for account, needs := range allowed {
		role, binding := named[*rbacv1.Role](t, all, account), named[*rbacv1.RoleBinding](t, all, account)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(needs)), rights(role.Rules)); diff != "" {
			t.Errorf("%s may (-needed +given):\n%s", account, diff)
		}
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: system}}
		if diff := cmp.Diff(want, binding.Subjects); diff != "" || binding.RoleRef.Name != account || role.Namespace != servers {
			t.Errorf("%s: %+v is bound to %s", account, binding.RoleRef, diff)
		}
	}
}

// rights lists "resource verb", sorted.
func rights(rules []rbacv1.PolicyRule) []string {
	var all []string
	for _, r := range rules {
		for _, kind := range r.Resources {
			for _, verb := range r.Verbs {
				all = append(all, kind+" "+verb)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestRights sends, with the accounts' own tokens, what is refused to them and what is not. Then it gives them each right
// in turn: an attempt that is refused still was never refused for its right.
func TestRights(t *testing.T) {
	c := connect(t)
	makeVictims(t, c)
	for account, refused := range map[string][]attempt{"gateway": refusedToGateway(), "deployer": refusedToBoth()} {
		own := client(t, c.account(t, account))
		for _, a := range refused {
			if err := a.send(t.Context(), own); !a.refusedByRole(err) {
				t.Errorf("%s: %v: %v", account, a, err)
			}
		}
		for right := range allowed[account] {
			kind, verb, _ := strings.Cut(right, " ")
			kind, sub, _ := strings.Cut(kind, "/")
			a := attempt{verb: verb, resource: kind, sub: sub, namespace: servers, name: "mcp-x"}
			if err := a.send(t.Context(), own); a.refusedByRole(err) {
				t.Errorf("%s: %v: %v", account, a, err)
			}
		}
		testGrants(t, c, account, own, refused)
		t.Logf("%s: %d attempts refused, each allowed once its right is given; %d rights work", account, len(refused), len(allowed[account]))
	}
}

// makeVictims makes Secrets to learn, where they are not there.
func makeVictims(t *testing.T, c cluster) {
	t.Helper()
	operator := client(t, c.operator)
	for namespace, names := range victims {
		for _, name := range names {
			secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret",
				"metadata": map[string]any{"name": name}, "stringData": map[string]any{"key": "value"}}}
			at := operator.Resource(resource("secrets")).Namespace(namespace)
			if _, err := at.Create(t.Context(), secret, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := at.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// testGrants gives the right of each attempt, and takes all of them back.
func testGrants(t *testing.T, c cluster, account string, own dynamic.Interface, refused []attempt) {
	t.Helper()
	for i, a := range refused {
		revoke := grant(t, c, account, fmt.Sprintf("test-%s-%d", account, i), a)
		eventually(t, func() string {
			return unless(!a.refusedByRole(a.send(t.Context(), own)), fmt.Sprintf("%s: %v is refused with its right too", account, a))
		})
		revoke()
	}
	for _, a := range refused {
		eventually(t, func() string {
			return unless(a.refusedByRole(a.send(t.Context(), own)), fmt.Sprintf("%s: %v is allowed without its right", account, a))
		})
	}
}

// grant binds the account to the right for one attempt.
func grant(t *testing.T, c cluster, account, name string, a attempt) (revoke func()) {
	t.Helper()
	rbac, ctx := c.kube.RbacV1(), context.Background()
	meta := metav1.ObjectMeta{Name: name}
	rules := []rbacv1.PolicyRule{{APIGroups: []string{resource(a.resource).Group}, Resources: []string{a.resourceName()}, Verbs: []string{a.verb}}}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: system}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	must := func(_ any, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}))
	if a.namespace == "" {
		must(rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}, metav1.CreateOptions{}))
	} else {
		must(rbac.RoleBindings(a.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}, metav1.CreateOptions{}))
	}
	revoked := false
	revoke = func() {
		if revoked {
			return
		}
		revoked = true
		must(nil, rbac.ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{}))
		if a.namespace == "" {
			must(nil, rbac.ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{}))
		} else {
			must(nil, rbac.RoleBindings(a.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
		}
	}
	t.Cleanup(revoke)
	return revoke
}

// TestNothingElse asks the API server for all that the accounts may do, whoever gave it to them.
func TestNothingElse(t *testing.T) {
	c := connect(t)
	for _, account := range []string{"gateway", "deployer"} {
		own, err := kubernetes.NewForConfig(c.account(t, account))
		if err != nil {
			t.Fatal(err)
		}
		for _, namespace := range []string{servers, system, "kube-system", "default"} {
			review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
			review, err := own.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), review, metav1.CreateOptions{})
			if err != nil || review.Status.Incomplete {
				t.Fatalf("%v, incomplete: %v", err, review.Status.Incomplete)
			}
			var got, want []string
			for _, r := range review.Status.ResourceRules {
				// Whoever is authenticated may ask what he may do.
				if !slices.Contains([]string{"authorization.k8s.io", "authentication.k8s.io"}, r.APIGroups[0]) {
					got = append(got, rights([]rbacv1.PolicyRule{{Resources: r.Resources, Verbs: r.Verbs}})...)
				}
			}
			if slices.Sort(got); namespace == servers {
				want = slices.Sorted(maps.Keys(allowed[account]))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s may (-want +got):\n%s", account, namespace, diff)
			}
		}
	}
}
