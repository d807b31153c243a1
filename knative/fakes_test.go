package knative

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingfake "knative.dev/serving/pkg/client/clientset/versioned/fake"

	"mcpgateway/internal/deploy"
)

// home is a deployer in a namespace that a test fills. The real API server is asked in e2e.
type home struct {
	*Deployer
	kube    *kubefake.Clientset
	serving *servingfake.Clientset
	log     *strings.Builder
	written []servingv1.Service // what was applied
}

func newHome(t *testing.T, there ...runtime.Object) *home {
	t.Helper()
	h := &home{kube: kubefake.NewClientset(), serving: servingfake.NewSimpleClientset(), log: &strings.Builder{}}
	for _, o := range there {
		var err error
		switch o.(type) {
		case *servingv1.Service, *servingv1.Revision:
			err = h.serving.Tracker().Add(o)
		default:
			err = h.kube.Tracker().Add(o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The fake knows no server-side apply of Knative's types.
	h.serving.PrependReactor("patch", "services", func(a clienttesting.Action) (bool, runtime.Object, error) {
		var s servingv1.Service
		if err := json.Unmarshal(a.(clienttesting.PatchAction).GetPatch(), &s); err != nil {
			return true, nil, err
		}
		h.written = append(h.written, s)
		return true, &s, nil
	})
	h.Deployer = &Deployer{settings: settings(), lock: "/nonexistent", ingress: &url.URL{Scheme: "http", Host: "ingress"}, domain: "test",
		kube: h.kube, serving: h.serving, log: slog.New(slog.NewTextHandler(h.log, nil))}
	return h
}

// writes are the verbs of all that was asked of the cluster and is no question.
func (h *home) writes() (verbs []string) {
	for _, a := range append(h.kube.Actions(), h.serving.Actions()...) {
		if verb := a.GetVerb(); verb != "get" && verb != "list" && verb != "watch" {
			verbs = append(verbs, verb+" "+a.GetResource().Resource)
		}
	}
	h.kube.ClearActions()
	h.serving.ClearActions()
	return verbs
}

// users is the plan of a user's instance.
func users(t *testing.T, subject string) deploy.Plan {
	t.Helper()
	p := golden(t, "container.user.none")
	p.Owner = &deploy.Owner{Issuer: p.Owner.Issuer, Subject: subject}
	return p
}

// deployed is a plan's service as it is once Knative has looked at it.
func deployed(t *testing.T, p deploy.Plan) *servingv1.Service {
	t.Helper()
	s, err := MakeService(p, settings())
	if err != nil {
		t.Fatal(err)
	}
	s.UID = "uid"
	s.Status.LatestCreatedRevisionName, s.Status.LatestReadyRevisionName = s.Name+"-00001", s.Name+"-00001"
	s.Status.Conditions = append(s.Status.Conditions, apis.Condition{Type: apis.ConditionReady, Status: corev1.ConditionTrue})
	return s
}

// revision is one of a service. Its condition says since when it is active or is not.
func revision(s *servingv1.Service, name string, active corev1.ConditionStatus, since time.Time) *servingv1.Revision {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Name: s.Name + name, Namespace: s.Namespace,
		Labels: map[string]string{serving.ServiceLabelKey: s.Name, labelManager: manager}}}
	if active != "" {
		r.Status.Conditions = append(r.Status.Conditions, apis.Condition{Type: servingv1.RevisionConditionActive, Status: active,
			LastTransitionTime: apis.VolatileTime{Inner: metav1.NewTime(since)}})
	}
	return r
}

// podOf is a pod of a service's newest revision.
func podOf(s *servingv1.Service, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: s.Name + "-pod", Namespace: s.Namespace,
		Labels: map[string]string{serving.ServiceLabelKey: s.Name, labelManager: manager, labelRevision: s.Name + "-00001"}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
}
