package knative

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// A service is waited for while what keeps it passes by itself, and no longer.
func TestSettled(t *testing.T) {
	route := func(mark func(*servingv1.RouteStatus)) *apis.Condition {
		var r servingv1.RouteStatus
		r.InitializeConditions()
		mark(&r)
		return r.GetCondition(servingv1.RouteConditionAllTrafficAssigned)
	}
	for name, test := range map[string]struct {
		condition  *apis.Condition
		generation int64 // that Knative has looked at; the service's is 2
		done, over bool
	}{
		"not looked at":                     {nil, 2, false, false},
		"ready before the change":           {&apis.Condition{Status: corev1.ConditionTrue}, 1, false, false},
		"ready":                             {&apis.Condition{Status: corev1.ConditionTrue}, 2, true, false},
		"its configuration is not heard of": {route(func(r *servingv1.RouteStatus) { r.MarkMissingTrafficTarget("Configuration", "a") }), 2, false, false},
		"its revision is not ready yet":     {route(func(r *servingv1.RouteStatus) { r.MarkConfigurationNotReady("a") }), 2, false, false},
		"its revision has failed":           {route(func(r *servingv1.RouteStatus) { r.MarkConfigurationFailed("a") }), 2, false, true},
	} {
		s := &servingv1.Service{}
		s.Generation, s.Status.ObservedGeneration = 2, test.generation
		if test.condition != nil {
			ready := *test.condition
			ready.Type = apis.ConditionReady
			s.Status.SetConditions(apis.Conditions{ready})
		}
		if done, err := settled(s); done != test.done || (err != nil) != test.over {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}
