package knative

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// hopeless are the reasons for which a container waits that waiting does not mend (kubelet 1.35, pkg/kubelet/images and
// kuberuntime).
var hopeless = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true, "ErrImageInspect": true,
	"CrashLoopBackOff": true, "CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// lastLines bounds what is told of a container's log, in lines and bytes.
const (
	lastLines = 20
	lastBytes = 8 << 10
)

// trouble is why a pod does not start, for the operator; nil where it may still, and where it is being removed: what ends
// in it then was told to.
func (d *Deployer) trouble(ctx context.Context, pod corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Errorf("pod %s finds no node: %s: %s", pod.Name, c.Reason, c.Message)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && hopeless[w.Reason] {
			return fmt.Errorf("container %s of pod %s: %s: %s%s", c.Name, pod.Name, w.Reason, w.Message, d.lastWords(ctx, pod, c))
		}
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Errorf("container %s of pod %s ended with %d: %s%s", c.Name, pod.Name, t.ExitCode, t.Reason, d.lastWords(ctx, pod, c))
		}
	}
	return d.unmounted(ctx, pod)
}

// revisionTrouble adds to what Knative says of a service what it says of its newest revision. That alone tells why no pod was
// made, as a quota or an admission policy may want it.
func (d *Deployer) revisionTrouble(ctx context.Context, s *servingv1.Service, unready error) error {
	revision, err := d.serving.ServingV1().Revisions(s.Namespace).Get(ctx, s.Status.LatestCreatedRevisionName, metav1.GetOptions{})
	if err != nil {
		return unready
	}
	if c := revision.Status.GetCondition(apis.ConditionReady); c.IsFalse() {
		return fmt.Errorf("%w: %s: %s", unready, c.Reason, c.Message)
	}
	return unready
}

// unmounted is the volume that a pod waits for: a Secret or a key of it that is missing shows nowhere but in an event.
func (d *Deployer) unmounted(ctx context.Context, pod corev1.Pod) error {
	if pod.Status.Phase != corev1.PodPending {
		return nil
	}
	about := fields.AndSelectors(fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)), fields.OneTermEqualSelector("reason", "FailedMount"))
	events, err := d.kube.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{FieldSelector: about.String()})
	if err != nil {
		return nil // who may not read events learns it at the timeout
	}
	for _, e := range slices.Backward(events.Items) {
		if !passes.MatchString(e.Message) {
			return errors.New(e.Message)
		}
	}
	return nil
}

// passes is what a kubelet says that has not yet heard of a volume's object, and asks again by itself (Kubernetes 1.35,
// pkg/kubelet/util/manager).
var passes = regexp.MustCompile("failed to sync (configmap|secret) cache")

// lastWords are the last lines that a container wrote before it ended; nothing where it never ran.
func (d *Deployer) lastWords(ctx context.Context, pod corev1.Pod, c corev1.ContainerStatus) string {
	lines, bytes := int64(lastLines), int64(lastBytes)
	options := corev1.PodLogOptions{Container: c.Name, Previous: c.State.Terminated == nil, TailLines: &lines, LimitBytes: &bytes}
	stream, err := d.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &options).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, lastBytes))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + strings.TrimRight(string(text), "\n")
}
