package knative

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/servertoken"
)

var errDown = errors.New("the cluster is down")

func failing(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errDown }

const store = "mcp-github-shim"

func (h *home) secret(t *testing.T) *corev1.Secret {
	t.Helper()
	s, err := h.kube.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), "mcp-servers", store)
	if err != nil {
		return nil
	}
	return s.(*corev1.Secret)
}

func (h *home) dropSecret(t *testing.T) {
	t.Helper()
	if err := h.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("secrets"), "mcp-servers", store); err != nil {
		t.Fatal(err)
	}
}

// An operator who deletes a secret has another made: by the next look where nobody calls, and at once where a start waits.
// What is there is never asked for but by an attempt to make it, and that seldom.
func TestSecretsAreMadeAnew(t *testing.T) {
	p := golden(t, "container.shared.none")
	for name, ask := range map[string]struct {
		by     func(context.Context, *home) error
		atOnce bool
	}{
		"reconciled": {func(ctx context.Context, h *home) error { return h.Deploy(ctx, p) }, false},
		"called":     {func(ctx context.Context, h *home) error { _, err := h.Ensure(ctx, p); return err }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t, deployed(t, p))
				if err := ask.by(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				first := h.secret(t)
				if first == nil || len(first.Data["seal"]) != 32 {
					t.Fatalf("made is %+v", first)
				}
				h.dropSecret(t)
				h.writes()
				if err := ask.by(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				if made := h.secret(t) != nil; made != ask.atOnce || h.writes() != nil != ask.atOnce {
					t.Errorf("made at once: %v", made)
				}
				time.Sleep(remakeEvery)
				if err := ask.by(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				if second := h.secret(t); second == nil || slices.Equal(second.Data["seal"], first.Data["seal"]) {
					t.Errorf("made anew is %+v", second)
				}
			})
		})
	}
}

// Of users' instances only one looks.
func TestSecretsAreLookedForOnceAServer(t *testing.T) {
	alice, bob := users(t, "alice"), users(t, "bob")
	h := newHome(t, deployed(t, alice), deployed(t, bob))
	for _, p := range []deploy.Plan{alice, bob} {
		if err := h.Deploy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.writes(); !slices.Equal(got, []string{"create secrets"}) {
		t.Errorf("wrote %v", got)
	}
}

// A pod that waited for the secret is no reason to refuse, once that is made: the kubelet tries again.
func TestPodsWaitForTheSecretThatIsMade(t *testing.T) {
	p := golden(t, "container.shared.none")
	s := deployed(t, p)
	pod := podOf(s, corev1.ConditionFalse)
	pod.UID = "pod"
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: s.Namespace}, Reason: "FailedMount",
		InvolvedObject: corev1.ObjectReference{UID: "pod"}, Message: `secret "mcp-github-shim" not found`}
	h := newHome(t, s, pod, event)
	if _, err := h.Ensure(t.Context(), p); err != nil {
		t.Errorf("the secret is made, and still: %v", err)
	}
	if _, err := h.Ensure(t.Context(), p); err == nil {
		t.Error("a pod that cannot start is no trouble")
	}
}

// What sleep ends is no server that crashes, whatever it exits with.
func TestPodThatIsRemovedIsNoTrouble(t *testing.T) {
	p := golden(t, "container.shared.none")
	s := deployed(t, p)
	pod := podOf(s, corev1.ConditionFalse)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "server", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2}}}}
	second := func() error { // the first one makes the secret, and pods are given time to see it
		h := newHome(t, s, pod)
		if _, err := h.Ensure(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		_, err := h.Ensure(t.Context(), p)
		return err
	}
	if second() == nil {
		t.Error("a server that crashes is no trouble")
	}
	pod.DeletionTimestamp, pod.Finalizers = &metav1.Time{Time: now}, []string{"x"}
	if err := second(); err != nil {
		t.Errorf("while it goes to sleep: %v", err)
	}
}

// A kubelet that has not heard of a volume's object yet asks again by itself.
func TestKubeletThatLags(t *testing.T) {
	p := golden(t, "container.shared.none")
	s := deployed(t, p)
	pod := podOf(s, corev1.ConditionFalse)
	pod.UID = "pod"
	event := func(name, message string) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace}, Reason: "FailedMount",
			InvolvedObject: corev1.ObjectReference{UID: "pod"}, Message: message}
	}
	lag := event("b", `MountVolume.SetUp failed for volume "rules" : failed to sync configmap cache: timed out waiting for the condition`)
	if err := newHome(t, s, pod, lag).unmounted(t.Context(), *pod); err != nil {
		t.Errorf("it lags: %v", err)
	}
	missing := event("a", `secret "mcp-github-shim" not found`)
	if err := newHome(t, s, pod, missing, lag).unmounted(t.Context(), *pod); err == nil || err.Error() != missing.Message {
		t.Errorf("it lags, and a secret is missing: %v", err)
	}
}

// A cluster that refuses the secret has nothing started without it.
func TestSecretsThatAreRefused(t *testing.T) {
	for name, there := range map[string][]runtime.Object{"first": nil, "later": {deployed(t, golden(t, "container.shared.none"))}} {
		h := newHome(t, there...)
		h.kube.PrependReactor("create", "secrets", failing)
		if _, err := h.Ensure(t.Context(), golden(t, "container.shared.none")); deploy.AsStartError(err).Code != deploy.CodeUnavailable || len(h.written) > 0 {
			t.Errorf("%s: %v, wrote %d", name, err, len(h.written))
		}
		if err := h.Deploy(t.Context(), golden(t, "container.shared.none")); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The tokens by which functions of ours know a shim are in a Secret of their own, whose name goes with them: another key, or a
// function more, is another Secret and another revision, since what is there cannot be changed. No operator chooses them.
func TestTokensOfShims(t *testing.T) {
	p := golden(t, "container.shared.none")
	p.Units = slices.Clone(p.Units)
	p.Units[0].Secrets = append(slices.Clone(p.Units[0].Secrets), deploy.Secret{Store: store, Key: "audit-token", File: "SHIM_AUDIT_SECRET_FILE", Token: servertoken.Audit})
	keys := func(secret string) map[string]servertoken.Key {
		k, err := servertoken.New(servertoken.Audit, []byte(strings.Repeat(secret, servertoken.MinKey)))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]servertoken.Key{servertoken.Audit: k}
	}
	s := settings()
	if _, err := MakeService(p, s); err == nil || !strings.Contains(err.Error(), "no key to make the shim's token for audit") {
		t.Errorf("without a key: %v", err)
	}
	named := map[string]bool{}
	for _, secret := range []string{"a", "b"} {
		s.Tokens = keys(secret)
		name, tokens, err := tokensOf(p, s)
		if err != nil || !regexp.MustCompile("^mcp-github-shim-[0-9a-f]{16}$").MatchString(name) {
			t.Fatalf("%s, %v", name, err)
		}
		if id, ok := s.Tokens[servertoken.Audit].Server(string(tokens["audit-token"])); !ok || id != "github" {
			t.Errorf("the token is %q's, %v", id, ok)
		}
		named[name] = true
		service, err := MakeService(p, s)
		if err != nil {
			t.Fatal(err)
		}
		mounted := map[string]bool{}
		noteSecrets(mounted, service.Spec.Template.Spec.PodSpec)
		if !mounted[name] || !mounted[store] {
			t.Errorf("mounted are %v", mounted)
		}
	}
	if len(named) != 2 {
		t.Error("two keys, and one name")
	}
	if got := chosen(p); slices.Contains(got[store], "audit-token") {
		t.Errorf("an operator is to choose %v", got)
	}
	h := newHome(t, deployed(t, golden(t, "container.shared.none")))
	h.settings.Tokens = s.Tokens
	for range 2 { // the second finds it
		if _, err := h.generate(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	name, tokens, _ := tokensOf(p, s)
	made, err := h.kube.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), "mcp-servers", name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tokens, made.(*corev1.Secret).Data); diff != "" {
		t.Error(diff)
	}
	if first := h.secret(t); first == nil || first.Data["audit-token"] != nil {
		t.Errorf("the other Secret is %v", first)
	}
}

// What gateway and deployer share is in every shim's pod once, whether a plan asks for it or not, and nobody chooses it.
func TestSharedKeyOfAPlan(t *testing.T) {
	plan := golden(t, "container.shared.none")
	shim := &plan.Units[0]
	shim.Secrets = append(slices.Clone(shim.Secrets), deploy.Secret{Store: store, Key: deploy.KeyGateway, File: "SHIM_GATEWAY_KEY_FILE", Shared: true})
	if keys := chosen(plan)[store]; slices.Contains(keys, deploy.KeyGateway) {
		t.Errorf("operators choose %v", keys)
	}
	service, err := MakeService(plan, settings())
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, c := range service.Spec.Template.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == "SHIM_GATEWAY_KEY_FILE" {
				files++
			}
		}
	}
	if files != 1 {
		t.Errorf("the shim is told of it %d times", files)
	}
}
