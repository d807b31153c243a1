package knative

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
)

// outside is a store outside the cluster, with a fake operator that says of each ExternalSecret what says is. The real one is
// in e2e.
type outside struct {
	*home
	objects *dynamicfake.FakeDynamicClient
	says    string // a condition's status; empty: it does not run
	version string // the current one of all names; empty: the store is down
	asked   []string
}

func newOutside(t *testing.T, there ...runtime.Object) *outside {
	t.Helper()
	o := &outside{home: newHome(t, there...), says: "True", version: "v1"}
	o.objects = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{externalSecrets: "ExternalSecretList"})
	o.objects.PrependReactor("patch", "externalsecrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		var e unstructured.Unstructured
		if err := json.Unmarshal(a.(clienttesting.PatchAction).GetPatch(), &e.Object); err != nil {
			return true, nil, err
		}
		e.SetCreationTimestamp(metav1.Now())
		e.SetResourceVersion("1")
		if o.says != "" {
			e.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": o.says, "reason": "SecretSyncedError", "message": "no key token"}}}
		}
		if _, err := o.objects.Tracker().Get(externalSecrets, e.GetNamespace(), e.GetName()); err == nil {
			return true, &e, nil // it is there, and older
		}
		return true, &e, o.objects.Tracker().Create(externalSecrets, &e, e.GetNamespace())
	})
	o.dynamic = o.objects
	o.store = &SecretStore{Prefix: "prod/", Current: func(_ context.Context, name string) (string, error) {
		o.asked = append(o.asked, name)
		if o.version == "" {
			return "", errDown
		}
		return o.version, nil
	}}
	return o
}

// there are the names of all ExternalSecrets.
func (o *outside) there(t *testing.T) (names []string) {
	t.Helper()
	list, err := o.dynamic.Resource(externalSecrets).Namespace("mcp-servers").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		names = append(names, e.GetName())
	}
	return names
}

// named are the Secrets that a service's pods name.
func named(s servingv1.Service) []string {
	used := map[string]bool{}
	noteSecrets(used, s.Spec.Template.Spec.PodSpec)
	return slices.Sorted(maps.Keys(used))
}

var pinned = regexp.MustCompile(`^mcp-github-(server|shim)-[0-9a-f]{16}$`)

// What operators choose comes from outside at one version, key by key, and what is generated stays where it is.
func TestChosenValuesComeFromOutside(t *testing.T) {
	o := newOutside(t)
	if err := o.Deploy(t.Context(), golden(t, "container.shared.none")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"prod/github/server", "prod/github/shim"}; !slices.Equal(o.asked, want) {
		t.Errorf("asked for %q, want %q", o.asked, want)
	}
	names := named(o.written[0])
	if len(names) != 3 || names[1] != store || !pinned.MatchString(names[0]) || !pinned.MatchString(names[2]) {
		t.Fatalf("named are %q", names)
	}
	if there := o.there(t); !slices.Equal(there, []string{names[0], names[2]}) {
		t.Errorf("there are %q", there)
	}
	e, err := o.dynamic.Resource(externalSecrets).Namespace("mcp-servers").Get(t.Context(), names[0], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"data":[{"remoteRef":{"key":"github/server","property":"token","version":"uuid/v1"},"secretKey":"token"}],"refreshPolicy":"OnChange",` +
		`"secretStoreRef":{"kind":"SecretStore","name":"mcpgateway"},"target":{"creationPolicy":"Owner","name":"` + names[0] + `"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, c := range o.written[0].Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == "GITHUB_TOKEN" && v.ValueFrom.SecretKeyRef.Name != names[0] {
				t.Errorf("the token is of %s", v.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, v := range o.written[0].Spec.Template.Spec.Volumes {
		if v.Secret == nil {
			continue
		}
		key := v.Secret.Items[0].Key
		if ours := key == "seal" || key == deploy.KeyGateway; ours != (v.Secret.SecretName == store) {
			t.Errorf("%s is of %s", key, v.Secret.SecretName)
		}
	}
}

// With another version or other keys, the name is another: nothing that runs has its values changed under it.
func TestNamesGoWithVersions(t *testing.T) {
	name := func(version string, keys ...string) string {
		return MakeExternalSecret("n", "github", "mcp-github-server", version, keys).GetName()
	}
	if first, again := name("1", "a", "b"), name("1", "a", "b"); first != again {
		t.Errorf("the same is called %s and %s", first, again)
	}
	seen := map[string]bool{}
	for _, n := range []string{name("1", "a", "b"), name("2", "a", "b"), name("1", "a"), name("1", "ab")} {
		if seen[n] || !pinned.MatchString(n) {
			t.Errorf("%s", n)
		}
		seen[n] = true
	}
}

// A rotation is a new revision. What the one before has stays until it is gone, and then for a while.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := golden(t, "container.shared.none")
		o := newOutside(t)
		deployed := func() servingv1.Service {
			t.Helper()
			if err := o.Deploy(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			return o.written[len(o.written)-1]
		}
		first := deployed()
		old := revision(&first, "-00001", corev1.ConditionTrue, time.Now())
		old.Spec.PodSpec = first.Spec.Template.Spec.PodSpec
		if err := errors.Join(o.serving.Tracker().Add(&first), o.serving.Tracker().Add(old)); err != nil {
			t.Fatal(err)
		}
		o.version = "v2"
		second := deployed()
		if first.Annotations[annotationHash] == second.Annotations[annotationHash] || slices.Equal(named(first), named(second)) {
			t.Fatal("a rotation is no new revision")
		}
		if err := o.serving.Tracker().Update(servingv1.SchemeGroupVersion.WithResource("services"), &second, second.Namespace); err != nil {
			t.Fatal(err)
		}
		retained := func(want int, when string) {
			t.Helper()
			if err := o.Retain(t.Context(), []string{"github"}); err != nil {
				t.Fatal(err)
			}
			if there := o.there(t); len(there) != want {
				t.Errorf("%s there are %q", when, there)
			}
		}
		time.Sleep(keepUnused)
		retained(4, "while the old revision is there,")
		if err := o.serving.Tracker().Delete(servingv1.SchemeGroupVersion.WithResource("revisions"), old.Namespace, old.Name); err != nil {
			t.Fatal(err)
		}
		retained(2, "once it is gone")
		for _, n := range o.there(t) {
			if !slices.Contains(named(second), n) {
				t.Errorf("left is %s", n)
			}
		}
		o.version = "v3" // somebody has them made, and has not written the service yet
		want, err := o.plan(t.Context(), p)
		if err != nil || o.bring(t.Context(), want) != nil {
			t.Fatal(err)
		}
		retained(4, "while somebody is on the way")
		time.Sleep(keepUnused)
		retained(2, "when nobody can be any more,")
	})
}

// Without its secrets no service is written, and what is there stays. The log says what to do, and the caller learns nothing.
func TestSecretsThatDoNotCome(t *testing.T) {
	missing := apierrors.NewNotFound(externalSecrets.GroupResource(), "")
	for name, c := range map[string]struct {
		spoil func(*outside)
		want  string
	}{
		"no such key":       {func(o *outside) { o.says = "False" }, "SecretSyncedError: no key token"},
		"no operator":       {func(o *outside) { o.says = "" }, "does it run, and has it a SecretStore mcpgateway in mcp-servers?"},
		"never installed":   {func(o *outside) { o.objects.PrependReactor("patch", "*", refusing(missing)) }, "install the External Secrets operator"},
		"the store is down": {func(o *outside) { o.version = "" }, errDown.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				c.spoil(o)
				p := golden(t, "container.shared.none")
				if err := o.Deploy(t.Context(), p); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the log says %v", err)
				}
				_, err := o.Ensure(t.Context(), p)
				refused, is := errors.AsType[*deploy.StartError](err)
				if !is || strings.Contains(refused.Message, c.want) || !strings.Contains(o.log.String(), strings.Split(c.want, `"`)[0]) {
					t.Errorf("the caller learns %v, the log %s", err, o.log)
				}
				if len(o.written) > 0 {
					t.Error("a service is written without its secrets")
				}
			})
		})
	}
}

// Nobody waits in turn for an operator that does not run: the next entries are left for the next comparison at once.
func TestSilentOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		o.says = ""
		began := time.Now()
		for n := range 20 {
			p := golden(t, "container.shared.none")
			p.Server = fmt.Sprintf("%s-%d", p.Server, n)
			if err := o.Deploy(t.Context(), p); err == nil {
				t.Error("deployed without its secrets")
			}
		}
		if took := time.Since(began); took < secretMoment || took > 2*secretMoment {
			t.Errorf("it took %v", took)
		}
	})
}

func refusing(err error) clienttesting.ReactionFunc {
	return func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err }
}

// An operator that takes a moment is waited for.
func TestSecretsThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		o.says = ""
		go func() {
			for range 2 {
				time.Sleep(secretMoment / 2)
				for _, name := range o.there(t) {
					e, err := o.objects.Tracker().Get(externalSecrets, "mcp-servers", name)
					if err != nil {
						t.Error(err)
						return
					}
					e = e.DeepCopyObject()
					e.(*unstructured.Unstructured).Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
					if err := o.objects.Tracker().Update(externalSecrets, e, "mcp-servers"); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		if err := o.Deploy(t.Context(), golden(t, "container.shared.none")); err != nil || len(o.written) != 1 {
			t.Errorf("%v, %d written", err, len(o.written))
		}
		synctest.Wait()
	})
}

// What somebody deleted is made again, and nothing is asked of the operator where no store is outside.
func TestExternalSecretsAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := golden(t, "container.shared.none")
		o := newOutside(t)
		if err := o.Deploy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		live := o.written[0]
		if err := o.serving.Tracker().Add(&live); err != nil {
			t.Fatal(err)
		}
		gone := o.there(t)[0]
		if err := o.objects.Tracker().Delete(externalSecrets, "mcp-servers", gone); err != nil {
			t.Fatal(err)
		}
		time.Sleep(remakeEvery)
		if err := o.Deploy(t.Context(), p); err != nil || len(o.there(t)) != 2 || len(o.written) != 1 {
			t.Errorf("%v, there are %q, %d written", err, o.there(t), len(o.written))
		}
	})
	h := newHome(t)
	if err := errors.Join(h.Deploy(t.Context(), golden(t, "container.shared.none")), h.Retain(t.Context(), nil)); err != nil {
		t.Error(err)
	}
}
