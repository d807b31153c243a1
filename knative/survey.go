package knative

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// State is what a service does.
type State string

// The states.
const (
	Asleep   State = "asleep"   // it has no pod that is to stay
	Starting State = "starting" // it has one, which takes no calls yet
	Awake    State = "awake"
)

// Service is a service of ours as an operator sees it. Whose instance it is it does not say: Owner stands for the user.
type Service struct {
	Name     string `json:"name"`
	Server   string `json:"-"`
	Owner    string `json:"owner,omitempty"`    // 16 hex digits; empty where all users share it
	Revision string `json:"revision,omitempty"` // that takes the calls; empty where none can yet
	Next     string `json:"next,omitempty"`     // a newer one that does not yet
	State    State  `json:"state"`
	// Since is when the revision fell asleep or awoke.
	Since *time.Time `json:"since,omitempty"`
	// LastCall is about when the last call ended that kept the revision awake: it slept after the idle time. It is nil
	// while it is awake, since only its queue knows then, and where the revision had no call yet.
	LastCall *time.Time `json:"lastCall,omitempty"`
	Images   []Image    `json:"images"`
	Trouble  string     `json:"trouble,omitempty"` // why it does not start, with the last lines of the log
}

// Image is what a container runs.
type Image struct {
	Container string `json:"container"`
	Image     string `json:"image"` // with its digest where the cluster resolved it
}

// Survey returns the services of ours, in the order of their names.
func (d *Deployer) Survey(ctx context.Context) ([]Service, error) {
	services, err := d.serving.ServingV1().Services(d.settings.Namespace).List(ctx, metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	revisions, err := d.revisions(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list revisions: %w", err)
	}
	pods, err := d.pods(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	byName := map[string]*servingv1.Revision{}
	for i := range revisions {
		byName[revisions[i].Name] = &revisions[i]
	}
	of := byService(pods)
	list := make([]Service, 0, len(services.Items))
	for i := range services.Items {
		list = append(list, d.describe(ctx, &services.Items[i], byName, of[services.Items[i].Name]))
	}
	slices.SortFunc(list, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// describe puts together what is known of a service.
func (d *Deployer) describe(ctx context.Context, s *servingv1.Service, revisions map[string]*servingv1.Revision, pods []corev1.Pod) Service {
	found := Service{Name: s.Name, Server: s.Labels[labelServer], Owner: s.Labels[labelOwner], Revision: s.Status.LatestReadyRevisionName,
		State: Asleep, Images: []Image{}}
	if newest := s.Status.LatestCreatedRevisionName; newest != found.Revision {
		found.Next = newest
	}
	if r := revisions[found.Revision]; r != nil {
		found.Since, found.LastCall = activity(r)
		found.Images = containerImages(r)
	} else if r := revisions[found.Next]; r != nil {
		found.Images = containerImages(r)
	}
	for _, pod := range pods {
		switch {
		case pod.DeletionTimestamp != nil || pod.Labels[labelRevision] != found.Revision && pod.Labels[labelRevision] != found.Next:
			continue
		case ready(pod):
			found.State = Awake
		case found.State == Asleep:
			found.State = Starting
		}
	}
	if c := s.Status.GetCondition(servingv1.ServiceConditionReady); c.IsFalse() {
		found.Trouble = condition(s)
	}
	if err := d.obstacle(ctx, pods); err != nil {
		found.Trouble = err.Error()
	}
	return found
}

// Obstacle is what keeps the pods of a service from taking calls; nil where nothing does that would not pass by itself.
func (d *Deployer) Obstacle(ctx context.Context, service string) error {
	pods, err := d.pods(ctx, service)
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	return d.obstacle(ctx, pods)
}

func (d *Deployer) obstacle(ctx context.Context, pods []corev1.Pod) error {
	for _, pod := range pods {
		if ready(pod) {
			continue
		}
		if err := d.trouble(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// activity tells since when a revision does what it does, and when its last call ended: it is put to sleep when that was so
// long ago as its window says.
func activity(r *servingv1.Revision) (since, lastCall *time.Time) {
	c := r.Status.GetCondition(servingv1.RevisionConditionActive)
	if c == nil || c.LastTransitionTime.Inner.IsZero() {
		return nil, nil
	}
	at := c.LastTransitionTime.Inner.Time
	window, err := time.ParseDuration(r.Annotations[autoscaling.WindowAnnotationKey])
	if ended := at.Add(-window); c.IsFalse() && err == nil && ended.After(r.CreationTimestamp.Time) {
		lastCall = &ended
	}
	return &at, lastCall
}

// containerImages are what a revision's containers run, as the cluster resolved it, or else as it was written.
func containerImages(r *servingv1.Revision) []Image {
	digests := map[string]string{}
	for _, c := range r.Status.ContainerStatuses {
		digests[c.Name] = c.ImageDigest
	}
	list := make([]Image, 0, len(r.Spec.Containers))
	for _, c := range r.Spec.Containers {
		image := Image{c.Name, c.Image}
		if digests[c.Name] != "" {
			image.Image = digests[c.Name]
		}
		list = append(list, image)
	}
	return list
}
