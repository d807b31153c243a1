package knative

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
)

// now is when instances are looked at in tests.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAsleepSince(t *testing.T) {
	s := deployed(t, users(t, "alice"))
	early, late := now.Add(-48*time.Hour), now.Add(-time.Hour)
	leaving := podOf(s, corev1.ConditionFalse)
	leaving.DeletionTimestamp = &metav1.Time{Time: now}
	const yes, no, unknown = corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown
	one := func(active corev1.ConditionStatus) []*servingv1.Revision {
		return []*servingv1.Revision{revision(s, "-00001", active, early)}
	}
	for name, c := range map[string]struct {
		revisions []*servingv1.Revision
		pods      []*corev1.Pod
		want      time.Time
	}{
		"asleep":                {one(no), nil, early},
		"two, the later counts": {append(one(no), revision(s, "-00002", no, late)), nil, late},
		"two, in another order": {append([]*servingv1.Revision{revision(s, "-00002", no, late)}, one(no)...), nil, late},
		"awake":                 {one(yes), nil, time.Time{}},
		"waking":                {one(unknown), nil, time.Time{}},
		"an old one is awake":   {append(one(yes), revision(s, "-00002", no, late)), nil, time.Time{}},
		"not looked at yet":     {one(""), nil, time.Time{}},
		"no revision":           {nil, nil, time.Time{}},
		"a pod starts":          {one(no), []*corev1.Pod{podOf(s, no)}, time.Time{}},
		"a pod is ready":        {one(no), []*corev1.Pod{podOf(s, yes)}, time.Time{}},
		"a pod leaves":          {one(no), []*corev1.Pod{leaving}, early},
	} {
		t.Run(name, func(t *testing.T) {
			there := []runtime.Object{s}
			for _, r := range c.revisions {
				there = append(there, r)
			}
			for _, p := range c.pods {
				there = append(there, p)
			}
			// Another user's, which is awake, must not count.
			other := deployed(t, users(t, "bob"))
			there = append(there, other, revision(other, "-00001", yes, now), podOf(other, yes))
			list, err := newHome(t, there...).List(t.Context())
			if err != nil || len(list) != 2 {
				t.Fatalf("%v, %v", list, err)
			}
			i := slices.IndexFunc(list, func(s deploy.Status) bool { return s.Key.Owner.Subject == "alice" })
			if got := list[i].AsleepSince; !got.Equal(c.want) {
				t.Errorf("asleep since %v, want %v", got, c.want)
			}
			if got := list[1-i].AsleepSince; !got.IsZero() || !list[1-i].Ready {
				t.Errorf("what is awake is %+v", list[1-i])
			}
		})
	}
}

// What wakes between the look and the removal stays.
func TestRemoveAsleep(t *testing.T) {
	p := users(t, "alice")
	s := deployed(t, p)
	ending := s.DeepCopy()
	ending.DeletionTimestamp = &metav1.Time{Time: now}
	asleep := revision(s, "-00001", corev1.ConditionFalse, now.Add(-time.Hour))
	for name, c := range map[string]struct {
		there []runtime.Object
		since time.Time
		want  bool
	}{
		"asleep":                  {[]runtime.Object{s, asleep}, now.Add(-time.Hour), true},
		"woken and asleep again":  {[]runtime.Object{s, asleep}, now.Add(-2 * time.Hour), false},
		"awake":                   {[]runtime.Object{s, revision(s, "-00001", corev1.ConditionTrue, now.Add(-time.Hour))}, now, false},
		"it starts":               {[]runtime.Object{s, asleep, podOf(s, corev1.ConditionFalse)}, now, false},
		"gone":                    {nil, now, false},
		"somebody else's":         {[]runtime.Object{deployed(t, users(t, "bob")), asleep}, now, false},
		"it is being removed yet": {[]runtime.Object{ending, asleep}, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, c.there...)
			removed, err := h.RemoveAsleep(t.Context(), p.Key(), c.since)
			if err != nil || removed != c.want {
				t.Errorf("removed %v, %v", removed, err)
			}
			var want []string
			if c.want {
				want = []string{"delete services"}
				deletion := h.serving.Actions()[len(h.serving.Actions())-1].(clienttesting.DeleteActionImpl).DeleteOptions
				if p := deletion.Preconditions; p == nil || p.UID == nil || *p.UID != s.UID {
					t.Errorf("another of its name would be deleted: %+v", deletion)
				}
			}
			if diff := cmp.Diff(want, h.writes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One more user than may be takes the place of who was away longest, and of nobody who is there or comes.
func TestMakeRoom(t *testing.T) {
	starts, awake := deployed(t, users(t, "starts")), deployed(t, users(t, "awake"))
	there := []runtime.Object{
		awake, revision(awake, "-00001", corev1.ConditionTrue, now.Add(-time.Hour)), podOf(awake, corev1.ConditionTrue),
		starts, revision(starts, "-00001", corev1.ConditionFalse, now.Add(-9*time.Hour)), podOf(starts, corev1.ConditionFalse),
	}
	p := users(t, "carol")
	p.Instances = 2
	if err := newHome(t, there...).makeRoom(t.Context(), p); deploy.AsStartError(err).Code != deploy.CodeLimit {
		t.Errorf("a full house: %v", err)
	}
	for subject, hours := range map[string]time.Duration{"short": 1, "long": 8, "middle": 4} {
		s := deployed(t, users(t, subject))
		there = append(there, s, revision(s, "-00001", corev1.ConditionFalse, now.Add(-hours*time.Hour)))
	}
	h := newHome(t, there...)
	p.Instances = 6
	if err := h.makeRoom(t.Context(), p); err != nil || h.writes() != nil {
		t.Errorf("with room: %v", err)
	}
	p.Instances = 5
	if err := h.makeRoom(t.Context(), p); err != nil {
		t.Error(err)
	}
	list, err := h.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, s := range list {
		left = append(left, s.Key.Owner.Subject)
	}
	if slices.Sort(left); !slices.Equal(left, []string{"awake", "middle", "short", "starts"}) {
		t.Errorf("left are %v", left)
	}
	h.serving.PrependReactor("list", "revisions", failing)
	if err := h.makeRoom(t.Context(), p); !errors.Is(err, errDown) {
		t.Errorf("it is not known who sleeps: %v", err)
	}
}

// A revision that follows one which is awake starts with a pod, and no other does; that makes no difference to what is there.
func TestRevisionsFollowWarm(t *testing.T) {
	p := golden(t, "container.shared.none")
	before := deployed(t, p)
	next := p
	next.Hash = "another"
	for name, c := range map[string]struct {
		there []runtime.Object
		want  string
	}{
		"first":                 {nil, "0"},
		"asleep":                {[]runtime.Object{before}, "0"},
		"awake":                 {[]runtime.Object{before, podOf(before, corev1.ConditionTrue)}, "1"},
		"starting":              {[]runtime.Object{before, podOf(before, corev1.ConditionFalse)}, "0"},
		"another user is awake": {[]runtime.Object{before, podOf(deployed(t, users(t, "alice")), corev1.ConditionTrue)}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, c.there...)
			if err := h.Deploy(t.Context(), next); err != nil || len(h.written) != 1 {
				t.Fatalf("wrote %d, %v", len(h.written), err)
			}
			if got := h.written[0].Spec.Template.Annotations[autoscaling.InitialScaleAnnotationKey]; got != c.want {
				t.Errorf("the revision starts with %s pods, want %s", got, c.want)
			}
			again := newHome(t, &h.written[0])
			if err := again.Deploy(t.Context(), next); err != nil || len(again.written) != 0 {
				t.Errorf("the same plan is written again, %v", err)
			}
		})
	}
}

// Where the revision that was to follow warm cannot start, the one before serves as long as it is awake, and then the change
// comes in force all the same.
func TestRevisionsThatCannotFollow(t *testing.T) {
	p := golden(t, "container.shared.none")
	for name, c := range map[string]struct {
		ready   corev1.ConditionStatus
		initial string
		pod     corev1.ConditionStatus
		want    []string // initial scales that were written
	}{
		"the one before is awake": {corev1.ConditionFalse, "1", corev1.ConditionTrue, nil},
		"it sleeps":               {corev1.ConditionFalse, "1", "", []string{"0"}},
		"a pod is pending":        {corev1.ConditionFalse, "1", corev1.ConditionFalse, []string{"0"}},
		"it may follow yet":       {corev1.ConditionUnknown, "1", "", nil},
		"it followed":             {corev1.ConditionTrue, "1", "", nil},
		"broken without a pod":    {corev1.ConditionFalse, "0", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := deployed(t, p)
			s.Status.Conditions[0].Status, s.Status.Conditions[0].Message = c.ready, "no room"
			s.Spec.Template.Annotations[autoscaling.InitialScaleAnnotationKey] = c.initial
			there := []runtime.Object{s}
			if c.pod != "" {
				there = append(there, podOf(s, c.pod))
			}
			h := newHome(t, there...)
			if err := h.Deploy(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			var written []string
			for _, w := range h.written {
				written = append(written, w.Spec.Template.Annotations[autoscaling.InitialScaleAnnotationKey])
			}
			if diff := cmp.Diff(c.want, written); diff != "" {
				t.Error(diff)
			}
			if told := strings.Contains(h.log.String(), "no room"); told != (c.ready == corev1.ConditionFalse && c.initial == "1") {
				t.Errorf("the operator reads %s", h.log)
			}
		})
	}
}

// What is being removed is there for nobody, and takes nothing that replaces it with it.
func TestBeingRemoved(t *testing.T) {
	p := users(t, "alice")
	p.Instances = 1
	ending := deployed(t, p)
	ending.DeletionTimestamp = &metav1.Time{Time: now}
	h := newHome(t, ending, revision(ending, "-00001", corev1.ConditionTrue, now), podOf(ending, corev1.ConditionTrue))
	if list, err := h.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("there is %+v, %v", list, err)
	}
	if found, ok, err := h.Find(t.Context(), p.Key()); ok || err != nil {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := h.makeRoom(t.Context(), users(t, "bob")); err != nil {
		t.Errorf("it takes the room of another: %v", err)
	}
	gone := make(chan error)
	time.AfterFunc(endTimeout/50, func() {
		if len(h.writes()) > 0 {
			t.Error("it was changed while it was there")
		}
		gone <- h.serving.Tracker().Delete(servingv1.SchemeGroupVersion.WithResource("services"), ending.Namespace, ending.Name)
	})
	result := make(chan error)
	go func() { result <- h.Deploy(t.Context(), p) }()
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil || len(h.written) != 1 {
		t.Errorf("%v; written %d times, want once it was gone", err, len(h.written))
	}
}

// A cluster that takes longer to answer than a start may take is late, and does not refuse.
func TestClusterIsTooSlow(t *testing.T) {
	p := golden(t, "container.shared.none")
	p.Startup = 20 * time.Millisecond
	h := newHome(t)
	h.serving.PrependReactor("get", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		time.Sleep(2 * p.Startup)
		return true, nil, context.DeadlineExceeded
	})
	if _, err := h.Ensure(t.Context(), p); deploy.AsStartError(err).Code != deploy.CodeTimeout {
		t.Errorf("got %v", err)
	}
}
