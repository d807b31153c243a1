package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"mcpgateway/internal/measure"
)

// at is so many milliseconds after some moment.
func at(ms int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(ms) * time.Millisecond) }

func sampleWake() wake {
	return wake{sent: at(0), answered: at(1300), seen: seen{pod: "p", scaled: at(20), created: at(60), bound: at(75), ready: at(1290)},
		node: podLog{sandbox: at(500), started: at(800), noticed: at(1250)}}
}

func TestParts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*wake)
		want    []int // ms
		without int
	}{
		{"in order", func(*wake) {}, []int{20, 40, 15, 425, 300, 450, 40, 10}, 850},
		{"answered before ready was heard of", func(w *wake) { w.ready = at(1310) }, []int{20, 40, 15, 425, 300, 450, 50, 0}, 850},
		{"noticed at once", func(w *wake) { w.node.noticed = at(800) }, []int{20, 40, 15, 425, 300, 0, 490, 10}, 1300},
		{"heard of late", func(w *wake) { w.bound = at(520) }, []int{20, 40, 460, 0, 280, 450, 40, 10}, 850},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := sampleWake()
			tt.change(&w)
			var got []int
			sum := time.Duration(0)
			for _, d := range w.parts() {
				got = append(got, int(d.Milliseconds()))
				sum += d
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			if sum != w.whole() || w.without() != time.Duration(tt.without)*time.Millisecond {
				t.Errorf("the parts are %v of %v, %v without the wait", sum, w.whole(), w.without())
			}
		})
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*wake)
	}{
		{"all", "", func(*wake) {}},
		{"ready is told after the answer", "", func(w *wake) { w.ready = at(1400) }},
		{"no log", `nothing tells of "sandbox`, func(w *wake) { w.node = podLog{} }},
		{"no notice", `nothing tells of "relist`, func(w *wake) { w.node.noticed = time.Time{} }},
		{"no pod", `nothing tells of "API`, func(w *wake) { w.created = time.Time{} }},
		{"a log of another time", "before the call", func(w *wake) { w.node.sandbox = at(-5000) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := sampleWake()
			tt.change(&w)
			err := w.complete()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

// A pair is of two wakes that are known: what one of them lacks must not move the others.
func TestKnown(t *testing.T) {
	log := &nodeLog{pods: map[string]*podLog{"p": {sandbox: at(500), started: at(800), noticed: at(1250)}}}
	called := func(pod string) wake {
		w := sampleWake()
		w.pod, w.node = pod, podLog{}
		return w
	}
	var pairs [][2]wake
	for range 10 {
		pairs = append(pairs, [2]wake{called("p"), called("p")})
	}
	known, err := log.known(append(pairs, [2]wake{called("p"), called("lost")}))
	if err != nil || len(known) != 10 || known[0][1].node.noticed != at(1250) {
		t.Errorf("%d pairs, %v", len(known), err)
	}
	if _, err := log.known([][2]wake{{called("lost"), called("p")}, pairs[0]}); err == nil {
		t.Error("half of all pairs is left out, and nobody says so")
	}
}

// A witness holds to the pod that was made for the wake: one of an earlier wake may still end.
func TestWitnessHears(t *testing.T) {
	pod := func(name string, change func(*corev1.Pod)) watch.Event {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
		change(p)
		return watch.Event{Type: watch.Modified, Object: p}
	}
	bound := func(p *corev1.Pod) { p.Spec.NodeName = "vm" }
	ready := func(p *corev1.Pod) {
		bound(p)
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	old := func(p *corev1.Pod) { ready(p); p.DeletionTimestamp = &metav1.Time{Time: at(0)} }
	w := &witness{ready: make(chan struct{})}
	for i, event := range []watch.Event{pod("old", old), pod("new", func(*corev1.Pod) {}), pod("other", ready), pod("new", bound), pod("old", old),
		pod("new", ready), pod("new", ready)} {
		w.hear(event, at(i))
	}
	want := seen{pod: "new", created: at(1), bound: at(3), ready: at(5)}
	if diff := cmp.Diff(want, w.seen, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	select {
	case <-w.ready:
	default:
		t.Error("nobody was told that it is ready")
	}
}

// A part that does not exist is no part that met everything.
func TestUnknownPart(t *testing.T) {
	if err := run(t.Context(), &measure.Printer{}, settings{only: "hot", kubeconfig: "x", logs: "x"}); err == nil || !strings.Contains(err.Error(), "hot") {
		t.Errorf("err = %v", err)
	}
}
