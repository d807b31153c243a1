package main

import (
	"context"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// witness notes when it hears of what a wake does to a service's objects. Their own times are whole seconds; when a watch
// delivers them is a millisecond or two after they were written, for both services alike.
type witness struct {
	pods, deployments watch.Interface
	hearing           sync.WaitGroup
	ready             chan struct{} // closed when a pod is ready

	mu   sync.Mutex
	seen seen
}

// seen is what the API tells of a wake.
type seen struct {
	pod                           string
	scaled, created, bound, ready time.Time
}

// watch begins to look at a sleeping service.
func (r *rig) watch(ctx context.Context, t target) (*witness, error) {
	w := &witness{ready: make(chan struct{})}
	var err error
	if w.pods, err = r.kube.CoreV1().Pods(t.namespace).Watch(ctx, podsOf(t)); err != nil {
		return nil, err
	}
	if w.deployments, err = r.kube.AppsV1().Deployments(t.namespace).Watch(ctx, podsOf(t)); err != nil {
		w.pods.Stop()
		return nil, err
	}
	for _, each := range []watch.Interface{w.pods, w.deployments} {
		w.hearing.Go(func() {
			for event := range each.ResultChan() {
				w.hear(event, time.Now())
			}
		})
	}
	return w, nil
}

func (w *witness) hear(event watch.Event, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := func(t *time.Time, holds bool) bool {
		if !holds || !t.IsZero() {
			return false
		}
		*t = now
		return true
	}
	switch o := event.Object.(type) {
	case *appsv1.Deployment:
		first(&w.seen.scaled, o.Spec.Replicas != nil && *o.Spec.Replicas > 0)
	case *corev1.Pod:
		if o.DeletionTimestamp != nil {
			return // of an earlier wake
		}
		if first(&w.seen.created, true) {
			w.seen.pod = o.Name
		}
		if o.Name != w.seen.pod {
			return
		}
		first(&w.seen.bound, o.Spec.NodeName != "")
		if first(&w.seen.ready, podReady(o)) {
			close(w.ready)
		}
	}
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// told ends the watch when the API says that the pod is ready, or soon after: the activator probes pods itself, and the
// kubelet's own probe may come ten seconds after the answer.
func (w *witness) told(ctx context.Context) seen {
	select {
	case <-w.ready:
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	w.end()
	return w.seen
}

func (w *witness) end() {
	w.pods.Stop()
	w.deployments.Stop()
	w.hearing.Wait()
}
