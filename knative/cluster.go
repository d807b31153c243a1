package knative

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	clientwatch "k8s.io/client-go/tools/watch"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// labelRevision is what Knative calls a pod's revision.
const labelRevision = serving.RevisionLabelKey

// ours selects what this package made.
var ours = labelManager + "=" + manager

// again is when who was refused may ask again, and how long a refusal is remembered.
const again = 10 * time.Second

// Server-side apply: what others own stays theirs, but what we say is as we say it.
var (
	applyPatch   = types.ApplyPatchType
	force        = true
	applyOptions = metav1.PatchOptions{FieldManager: fieldManager, Force: &force}
)

// applied is an object as it is applied: without a status, which is not ours.
func applied(o any) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	unstructured.RemoveNestedField(fields, "status")
	return json.Marshal(fields)
}

// awaitReady waits until the newest revision of a service takes calls. The error says why it never will, or is ctx's.
func (d *Deployer) awaitReady(ctx context.Context, s *servingv1.Service) (*servingv1.Service, error) {
	if done, err := settled(s); done || err != nil {
		return s, err
	}
	services := d.serving.ServingV1().Services(s.Namespace)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, s.Name).String()
	watcher := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = only
		return services.Watch(ctx, o)
	}}
	last, err := clientwatch.Until(ctx, s.ResourceVersion, watcher, func(e watch.Event) (bool, error) {
		switch now := e.Object.(type) {
		case *servingv1.Service:
			if e.Type == watch.Deleted {
				return false, errors.New("it was deleted while it started")
			}
			s = now
			return settled(now)
		default:
			return false, apierrors.FromObject(e.Object)
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %s", ctx.Err(), condition(s))
		}
		return s, err
	}
	return last.Object.(*servingv1.Service), nil
}

// unheard is why the route of a new service fails at first where Knative's controller has made the service's configuration and not
// heard of it yet (serving 0.50, RouteStatus.MarkMissingTrafficTarget). It passes by itself: who makes both is one.
const unheard = "ConfigurationMissing"

// settled reports whether a service's newest revision takes calls. The error says why it never will.
func settled(s *servingv1.Service) (bool, error) {
	if s.Status.ObservedGeneration != s.Generation {
		return false, nil
	}
	switch c := s.Status.GetCondition(apis.ConditionReady); {
	case c == nil || c.IsUnknown() || c.Reason == unheard:
		return false, nil
	case c.IsTrue():
		return s.Status.LatestReadyRevisionName == s.Status.LatestCreatedRevisionName, nil
	}
	return false, errors.New(condition(s))
}

// condition says how a service is.
func condition(s *servingv1.Service) string {
	c := s.Status.GetCondition(apis.ConditionReady)
	if c == nil {
		return "Knative has not looked at the service yet"
	}
	return fmt.Sprintf("%s: %s", c.Reason, c.Message)
}

// pods are the pods of a service, or of all services of ours.
func (d *Deployer) pods(ctx context.Context, service string) ([]corev1.Pod, error) {
	selector := ours
	if service != "" {
		selector = serving.ServiceLabelKey + "=" + service
	}
	list, err := d.kube.CoreV1().Pods(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// tidy deletes a service's revisions that take no calls any more and have no pod: each would be kept by Knative for long.
func (d *Deployer) tidy(ctx context.Context, s *servingv1.Service) error {
	if done, err := settled(s); !done || err != nil {
		return nil // while it changes, or where it cannot: the old ones serve
	}
	revisions := d.serving.ServingV1().Revisions(s.Namespace)
	list, err := revisions.List(ctx, metav1.ListOptions{LabelSelector: serving.ServiceLabelKey + "=" + s.Name})
	if err != nil {
		return err
	}
	var problems []error
	for _, r := range list.Items {
		active := r.Status.GetCondition(servingv1.RevisionConditionActive)
		if r.Name == s.Status.LatestReadyRevisionName || r.Name == s.Status.LatestCreatedRevisionName || active == nil || !active.IsFalse() {
			continue
		}
		if err := revisions.Delete(ctx, r.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// failures remembers for a moment what was refused, so that a thousand callers cost the cluster one question.
type failures struct {
	mu   sync.Mutex
	last map[string]failure
}

type failure struct {
	err   error
	until time.Time
}

func (f *failures) recent(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.last[id]; ok && time.Now().Before(e.until) {
		return e.err
	}
	return nil
}

func (f *failures) note(id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for other, e := range f.last {
		if e.until.Before(now) {
			delete(f.last, other)
		}
	}
	if err == nil {
		return
	}
	if f.last == nil {
		f.last = map[string]failure{}
	}
	f.last[id] = failure{err, now.Add(again)}
}
