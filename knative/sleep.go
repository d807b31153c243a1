package knative

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
	"mcpgateway/knative/names"
)

// asleepSince is when the last pod of a service was taken down, by its revisions: Knative writes that a revision is active
// no more when the autoscaler has scaled it to zero, and that it is active again at each wake (serving 0.50, condition
// Active). So nobody has to write down when a server was used. A change of the entry counts as a use: it makes a revision.
// Zero where a pod is there, even one that only starts, or where it is not known.
func asleepSince(revisions []servingv1.Revision, pods []corev1.Pod) (since time.Time) {
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil {
			return time.Time{}
		}
	}
	for _, r := range revisions {
		active := r.Status.GetCondition(servingv1.RevisionConditionActive)
		if active == nil || !active.IsFalse() {
			return time.Time{}
		}
		if t := active.LastTransitionTime.Inner.Time; t.After(since) {
			since = t
		}
	}
	return since
}

// revisions are those of a service, or of all services of ours.
func (d *Deployer) revisions(ctx context.Context, service string) ([]servingv1.Revision, error) {
	selector := ours
	if service != "" {
		selector = serving.ServiceLabelKey + "=" + service
	}
	list, err := d.serving.ServingV1().Revisions(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// RemoveAsleep deletes the service of a key, unless something of it ran after since or runs, and reports whether it did. It
// does not wait. A call that comes between the look and the deletion finds no service, as one that comes after it does, and
// the gateway asks for it.
func (d *Deployer) RemoveAsleep(ctx context.Context, key deploy.Key, since time.Time) (bool, error) {
	live, err := d.standing(ctx, names.Service(d.settings.NameKey, key))
	if live == nil {
		return false, err
	}
	revisions, err := d.revisions(ctx, live.Name)
	if err != nil {
		return false, err
	}
	pods, err := d.pods(ctx, live.Name) // last, since it is what a wake changes first
	if err != nil {
		return false, err
	}
	if now := asleepSince(revisions, pods); now.IsZero() || now.After(since) {
		return false, nil
	}
	foreground := metav1.DeletePropagationForeground
	err = d.serving.ServingV1().Services(live.Namespace).Delete(ctx, live.Name, metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &live.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("remove %s: %w", live.Name, err)
	}
	d.log.Info("removed, as nobody used it", "server", key.Server, "service", live.Name, "asleep since", since)
	return true, nil
}

// makeRoom sees to it that one more instance of a server may be there: where as many are as may be, the one that sleeps
// longest goes. It loses nothing that a sleep did not take from it. Without one that sleeps the error is a limit's.
func (d *Deployer) makeRoom(ctx context.Context, p deploy.Plan) error {
	list, err := d.List(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(s deploy.Status) bool { return s.Key.Server != p.Server || s.Key.Owner == nil })
	if len(list) < p.Instances {
		return nil
	}
	slices.SortFunc(list, func(a, b deploy.Status) int { return a.AsleepSince.Compare(b.AsleepSince) })
	for _, s := range list {
		if s.AsleepSince.IsZero() {
			continue
		}
		if removed, err := d.RemoveAsleep(ctx, s.Key, s.AsleepSince); removed || err != nil {
			return err
		}
	}
	return &deploy.StartError{Code: deploy.CodeLimit, Message: "As many people use this server as it has room for.", RetryAfter: again}
}

// warm is a service as planned, whose next revision starts with a pod where the one before has one: calls move to it when
// it is up, and none waits for a start. Where nothing is awake nothing is woken. A revision that cannot start takes no
// calls from the one before, either.
func (d *Deployer) warm(ctx context.Context, want *servingv1.Service) (*servingv1.Service, error) {
	pods, err := d.pods(ctx, want.Name)
	if err != nil || len(awake(pods)) == 0 {
		return want, err
	}
	want = want.DeepCopy() // its hash stays that of the plan: when it sleeps, nothing has changed
	want.Spec.Template.Annotations[autoscaling.InitialScaleAnnotationKey] = "1"
	return want, nil
}

// stuck says whether a service waits in vain for a revision that was to follow warm, as where the cluster has no room for two
// pods, and by now nothing is awake that it would follow: one that starts without a pod is ready at once.
func (d *Deployer) stuck(ctx context.Context, s *servingv1.Service) (bool, error) {
	if _, err := settled(s); err == nil || s.Spec.Template.Annotations[autoscaling.InitialScaleAnnotationKey] == "0" {
		return false, nil
	}
	d.log.Error("a change is not in force, the revision before serves", "server", s.Labels[labelServer], "service", s.Name, "error", condition(s))
	pods, err := d.pods(ctx, s.Name)
	return err == nil && len(awake(pods)) == 0, err
}
