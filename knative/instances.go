package knative

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/deploy"
	"mcpgateway/knative/names"
)

// standing returns a service; nil where there is none, or only one that is being removed.
func (d *Deployer) standing(ctx context.Context, name string) (*servingv1.Service, error) {
	live, err := d.serving.ServingV1().Services(d.settings.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && live.DeletionTimestamp != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return live, nil
}

// Find returns the instance of a key if it is awake.
func (d *Deployer) Find(ctx context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	name := names.Service(d.settings.NameKey, key)
	live, err := d.standing(ctx, name)
	if live == nil {
		return deploy.Instance{}, false, err
	}
	pods, err := d.pods(ctx, name)
	if err != nil {
		return deploy.Instance{}, false, err
	}
	if instance := d.instance(live); awake(pods)[instance.ID] {
		return instance, true, nil
	}
	return deploy.Instance{}, false, nil
}

// List returns the services of ours, asleep or awake, without those that are being removed.
func (d *Deployer) List(ctx context.Context) ([]deploy.Status, error) {
	services, err := d.serving.ServingV1().Services(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return nil, err
	}
	pods, err := d.pods(ctx, "")
	if err != nil {
		return nil, err
	}
	revisions, err := d.revisions(ctx, "")
	if err != nil {
		return nil, err
	}
	podsOf, revisionsOf, ready := byService(pods), map[string][]servingv1.Revision{}, awake(pods)
	for _, r := range revisions {
		revisionsOf[r.Labels[serving.ServiceLabelKey]] = append(revisionsOf[r.Labels[serving.ServiceLabelKey]], r)
	}
	var list []deploy.Status
	for _, s := range services.Items {
		if s.DeletionTimestamp != nil {
			continue
		}
		status := deploy.Status{Key: keyOf(s), ID: s.Status.LatestReadyRevisionName, Hash: s.Spec.Template.Labels[labelPlan]}
		status.Ready, status.AsleepSince = ready[status.ID], asleepSince(revisionsOf[s.Name], podsOf[s.Name])
		list = append(list, status)
	}
	return list, nil
}

// byService groups pods by the name of their service.
func byService(pods []corev1.Pod) map[string][]corev1.Pod {
	of := map[string][]corev1.Pod{}
	for _, pod := range pods {
		name := pod.Labels[serving.ServiceLabelKey]
		of[name] = append(of[name], pod)
	}
	return of
}

func keyOf(s servingv1.Service) deploy.Key {
	key := deploy.Key{Server: s.Labels[labelServer]}
	if s.Labels[labelOwner] != "" {
		key.Owner = &deploy.Owner{Issuer: s.Annotations[annotationIssuer], Subject: s.Annotations[annotationSubject]}
	}
	return key
}

// awake are the revisions that have a pod which takes calls.
func awake(pods []corev1.Pod) map[string]bool {
	revisions := map[string]bool{}
	for _, pod := range pods {
		if ready(pod) {
			revisions[pod.Labels[labelRevision]] = true
		}
	}
	return revisions
}

// ready reports whether a pod takes calls.
func ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
