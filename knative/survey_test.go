package knative

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingfake "knative.dev/serving/pkg/client/clientset/versioned/fake"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// after is a moment of the day that the test is about.
func after(d time.Duration) *time.Time { at := noon.Add(d); return &at }

func surveyed(name string, labels map[string]string, more ...func(*servingv1.Service)) *servingv1.Service {
	s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n", Labels: map[string]string{labelManager: manager},
		Annotations: map[string]string{annotationIssuer: "https://login.test", annotationSubject: "alice"}}}
	for k, v := range labels {
		s.Labels[k] = v
	}
	s.Status.LatestCreatedRevisionName, s.Status.LatestReadyRevisionName = name+"-00001", name+"-00001"
	for _, change := range more {
		change(s)
	}
	return s
}

// surveyedRevision was made at noon; active is since when it is or is not so.
func surveyedRevision(service string, active corev1.ConditionStatus, since time.Duration, digests map[string]string) *servingv1.Revision {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Name: service + "-00001", Namespace: "n", CreationTimestamp: metav1.NewTime(noon),
		Labels: map[string]string{labelManager: manager}, Annotations: map[string]string{autoscaling.WindowAnnotationKey: "1m0s"}}}
	r.Spec.Containers = []corev1.Container{{Name: "shim", Image: "r.test/shim:v1"}, {Name: "server", Image: "r.test/server:v1"}}
	for name, digest := range digests {
		r.Status.ContainerStatuses = append(r.Status.ContainerStatuses, servingv1.ContainerStatus{Name: name, ImageDigest: digest})
	}
	r.Status.Conditions = duckv1.Conditions{{Type: servingv1.RevisionConditionActive, Status: active,
		LastTransitionTime: apis.VolatileTime{Inner: metav1.NewTime(noon.Add(since))}}}
	return r
}

func surveyedPod(service, revision string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: revision + "-x", Namespace: "n",
		Labels: map[string]string{labelManager: manager, serving.ServiceLabelKey: service, labelRevision: revision}}}
	change(p)
	return p
}

func podReady(status corev1.ConditionStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	}
}

func TestSurvey(t *testing.T) {
	shimOnly := map[string]string{"shim": "r.test/shim@sha256:0f"}
	crashes := func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "server", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}}}
	}
	leaving := func(p *corev1.Pod) {
		crashes(p)
		at := metav1.NewTime(noon)
		p.DeletionTimestamp, p.Finalizers = &at, []string{"x"}
	}
	failed := func(s *servingv1.Service) {
		s.Status.LatestReadyRevisionName = ""
		s.Status.Conditions = duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionFalse, Reason: "RevisionFailed", Message: "no such image"}}
	}
	changing := func(s *servingv1.Service) { s.Status.LatestCreatedRevisionName = s.Name + "-00002" }
	kube := []runtime.Object{
		surveyedPod("mcp-awake", "mcp-awake-00001", podReady(corev1.ConditionTrue)),
		surveyedPod("mcp-awake", "mcp-awake-00001", func(p *corev1.Pod) { p.Name += "-second"; podReady(corev1.ConditionFalse)(p) }), // of two
		surveyedPod("mcp-starts", "mcp-starts-00001", podReady(corev1.ConditionFalse)),
		surveyedPod("mcp-own-0123456789abcdef", "mcp-own-0123456789abcdef-00001", crashes),
		surveyedPod("mcp-asleep", "mcp-asleep-00001", leaving),
		surveyedPod("mcp-change", "mcp-change-00000", podReady(corev1.ConditionTrue)), // an old one, which ends
	}
	knative := []runtime.Object{
		surveyed("mcp-awake", map[string]string{labelServer: "awake"}), surveyedRevision("mcp-awake", corev1.ConditionTrue, 5*time.Minute, shimOnly),
		surveyed("mcp-starts", map[string]string{labelServer: "starts"}), surveyedRevision("mcp-starts", corev1.ConditionUnknown, 5*time.Minute, nil),
		surveyed("mcp-own-0123456789abcdef", map[string]string{labelServer: "own", labelOwner: "0123456789abcdef"}),
		surveyed("mcp-asleep", map[string]string{labelServer: "asleep"}), surveyedRevision("mcp-asleep", corev1.ConditionFalse, 5*time.Minute, nil),
		surveyed("mcp-new", map[string]string{labelServer: "new"}), surveyedRevision("mcp-new", corev1.ConditionFalse, time.Second, nil),
		surveyed("mcp-bad", map[string]string{labelServer: "bad"}, failed),
		surveyed("mcp-change", map[string]string{labelServer: "change"}, changing),
		surveyed("mcp-foreign", map[string]string{labelManager: "others"}),
	}
	d := &Deployer{settings: Settings{Namespace: "n"}, kube: fake.NewClientset(kube...), serving: servingfake.NewSimpleClientset(knative...)}
	got, err := d.Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	written := []Image{{"shim", "r.test/shim:v1"}, {"server", "r.test/server:v1"}}
	want := []Service{
		{Name: "mcp-asleep", Server: "asleep", Revision: "mcp-asleep-00001", State: Asleep, Since: after(5 * time.Minute), LastCall: after(4 * time.Minute), Images: written},
		{Name: "mcp-awake", Server: "awake", Revision: "mcp-awake-00001", State: Awake, Since: after(5 * time.Minute),
			Images: []Image{{"shim", "r.test/shim@sha256:0f"}, {"server", "r.test/server:v1"}}},
		{Name: "mcp-bad", Server: "bad", Next: "mcp-bad-00001", State: Asleep, Images: []Image{}, Trouble: "RevisionFailed: no such image"},
		{Name: "mcp-change", Server: "change", Revision: "mcp-change-00001", Next: "mcp-change-00002", State: Asleep, Images: []Image{}},
		{Name: "mcp-new", Server: "new", Revision: "mcp-new-00001", State: Asleep, Since: after(time.Second), Images: written},
		{Name: "mcp-own-0123456789abcdef", Server: "own", Owner: "0123456789abcdef", Revision: "mcp-own-0123456789abcdef-00001", State: Starting, Images: []Image{},
			Trouble: "container server of pod mcp-own-0123456789abcdef-00001-x: CrashLoopBackOff: back-off\nfake logs"},
		{Name: "mcp-starts", Server: "starts", Revision: "mcp-starts-00001", State: Starting, Since: after(5 * time.Minute), Images: written},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("survey (-want +got):\n%s", diff)
	}
	if err := d.Obstacle(t.Context(), "mcp-own-0123456789abcdef"); err == nil || !strings.Contains(err.Error(), "CrashLoopBackOff") {
		t.Errorf("what keeps it from starting: %v", err)
	}
	for _, none := range []string{"mcp-awake", "mcp-asleep", "mcp-starts", "mcp-none"} {
		if err := d.Obstacle(t.Context(), none); err != nil {
			t.Errorf("%s: %v", none, err)
		}
	}
}
