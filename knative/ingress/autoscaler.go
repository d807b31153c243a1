package ingress

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxList bounds a list of PodAutoscalers, in bytes: of one service, a few kilobytes for each revision that is kept.
const maxList = 4 << 20

// podAutoscalers is what is read of a PodAutoscalerList of autoscaling.internal.knative.dev/v1alpha1 (Knative Serving 0.50,
// pkg/apis/autoscaling/v1alpha1).
type podAutoscalers struct {
	Kind  string          `json:"kind"`
	Items []podAutoscaler `json:"items"`
}

type podAutoscaler struct {
	Metadata struct {
		Name    string    `json:"name"` // the revision's
		Created time.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Reachability string `json:"reachability"` // "Reachable" where a route points to the revision
	} `json:"spec"`
	Status struct {
		Desired *int32 `json:"desiredScale"` // -1 while it is not known
		Actual  *int32 `json:"actualScale"`  // ready pods
	} `json:"status"`
}

// State is what an instance does.
type State uint8

// The states. An instance that starts does so because somebody sent a request: another one wakes nothing any more, but it
// waits.
const (
	Asleep State = iota
	Starting
	Awake
)

// parseState reads from a list what the newest revision that is routed does. A service without one is asleep.
func parseState(text []byte) (State, error) {
	var list podAutoscalers
	if err := json.Unmarshal(text, &list); err != nil {
		return Asleep, fmt.Errorf("read PodAutoscalers: %w", err)
	}
	if list.Kind != "PodAutoscalerList" {
		return Asleep, fmt.Errorf("read PodAutoscalers: the answer is a %.60q", list.Kind)
	}
	var newest *podAutoscaler
	for i := range list.Items {
		if p := &list.Items[i]; p.Spec.Reachability == "Reachable" && (newest == nil || p.newer(newest)) {
			newest = p
		}
	}
	if newest == nil {
		return Asleep, nil
	}
	return newest.state(), nil
}

// newer goes by the name where two were made in the same second: those of a service end in a number that grows.
func (p *podAutoscaler) newer(than *podAutoscaler) bool {
	if !p.Metadata.Created.Equal(than.Metadata.Created) {
		return p.Metadata.Created.After(than.Metadata.Created)
	}
	return p.Metadata.Name > than.Metadata.Name
}

// state takes a pod that is about to be taken down for none: a request that is sent meanwhile starts another.
func (p *podAutoscaler) state() State {
	desired, actual := p.Status.Desired, p.Status.Actual
	switch {
	case desired != nil && *desired == 0:
		return Asleep
	case actual != nil && *actual > 0:
		return Awake
	case desired != nil && *desired > 0:
		return Starting
	}
	return Asleep
}
