package main

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/serving/pkg/apis/autoscaling"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"mcpgateway/internal/measure"
	"mcpgateway/knative/names"
)

// bare makes the service that ours is compared with, where it is missing: the same server, and the same program again as a
// sidecar that nobody calls. It is as Knative makes a service of no more than that, but that it scales as ours does. So its
// pod has the token of a service account, and the kubelet looks only every 300 ms whether volumes are mounted: -no-token
// is what it would take without any.
func (r *rig) bare(ctx context.Context, name string) (target, error) {
	_, err := r.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: bareNamespace}}, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		_, err = r.serving.ServingV1().Services(bareNamespace).Create(ctx, r.makeBare(name), metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return target{}, err
	}
	return target{name, bareNamespace, patient(measure.NewCaller(ingress+"/mcp", "").For(names.Host(name, bareNamespace, domain)))}, nil
}

func (r *rig) makeBare(name string) *servingv1.Service {
	const port = 8090
	s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.Spec.Template.Annotations = map[string]string{
		autoscaling.InitialScaleAnnotationKey: "0",
		autoscaling.MaxScaleAnnotationKey:     "1",
		autoscaling.WindowAnnotationKey:       window.String(),
	}
	s.Spec.Template.Spec.PodSpec = corev1.PodSpec{
		Containers: []corev1.Container{
			{Name: "server", Image: sampleImage, Args: []string{"-insecure-any-host", "-addr", ":" + strconv.Itoa(port)}, Ports: []corev1.ContainerPort{{ContainerPort: port}}},
			{Name: "idle", Image: sampleImage, Args: []string{"-addr", "127.0.0.1:" + strconv.Itoa(port+1)}},
		},
	}
	if r.noToken {
		s.Spec.Template.Spec.AutomountServiceAccountToken = new(bool)
	}
	return s
}
