package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/serving"

	"mcpgateway/internal/measure"
)

// patient makes a caller wait for longer than a wake can take.
func patient(c *measure.Caller) *measure.Caller {
	return c.Through(&http.Client{Timeout: callPatience, Transport: transport})
}

var transport = &http.Transport{MaxIdleConnsPerHost: measure.MaxConnections, DisableCompression: true}

// sleepPatience is how long a service may take to be ready and asleep, pods that end included.
const sleepPatience = 3 * time.Minute

// awaitZero returns when services can be woken and are asleep: ready, their autoscalers at zero and no pod left but those
// that were told to end. They drain for half a minute, doing nothing, and end in the midst of later wakes of both.
func (r *rig) awaitZero(ctx context.Context, all ...target) error {
	for _, t := range all {
		if err := until(ctx, t, r.awake); err != nil {
			return err
		}
	}
	return nil
}

// awaitGone returns when, besides, no pod of theirs is left: the ends of many at once would be felt.
func (r *rig) awaitGone(ctx context.Context, all ...target) error {
	for _, t := range all {
		if err := until(ctx, t, r.awake, r.there); err != nil {
			return err
		}
	}
	return nil
}

// until asks until there is no reason left.
func until(ctx context.Context, t target, reasons ...func(context.Context, target) (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, sleepPatience)
	defer cancel()
	for _, reason := range reasons {
		for {
			why, err := reason(ctx, t)
			if err == nil && why == "" {
				break
			}
			if measure.Pause(ctx, 100*time.Millisecond) != nil {
				return fmt.Errorf("%s in %s does not fall asleep: %s (%v)", t.name, t.namespace, why, err)
			}
		}
	}
	return nil
}

// awake says why a service is not asleep and ready, "" where it is.
func (r *rig) awake(ctx context.Context, t target) (string, error) {
	service, err := r.serving.ServingV1().Services(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return "not there", err
	}
	if !service.IsReady() {
		return "not ready", nil
	}
	pods, err := r.kube.CoreV1().Pods(t.namespace).List(ctx, podsOf(t))
	if err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			return "pod " + pod.Name, nil
		}
	}
	scaler, err := r.serving.AutoscalingV1alpha1().PodAutoscalers(t.namespace).Get(ctx, service.Status.LatestReadyRevisionName, metav1.GetOptions{})
	switch {
	case err != nil:
		return "no autoscaler", err
	case !scaler.Status.IsInactive():
		return "active", nil
	case scaler.Status.GetDesiredScale() > 0 || scaler.Status.GetActualScale() > 0:
		return "to be scaled", nil
	}
	return "", nil
}

// there names a pod of a service, "" where none is left.
func (r *rig) there(ctx context.Context, t target) (string, error) {
	pods, err := r.kube.CoreV1().Pods(t.namespace).List(ctx, podsOf(t))
	if err != nil || len(pods.Items) == 0 {
		return "", err
	}
	return "pod " + pods.Items[0].Name, nil
}

func podsOf(t target) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: serving.ServiceLabelKey + "=" + t.name}
}
