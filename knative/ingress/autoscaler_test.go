package ingress

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseState(t *testing.T) {
	const none = -2
	tests := []struct {
		name  string
		items []map[string]any
		want  State
	}{
		{"nothing deployed", nil, Asleep},
		{"running", []map[string]any{revision("a-00001", "Reachable", 0, 1, 1)}, Awake},
		{"at zero", []map[string]any{revision("a-00001", "Reachable", 0, 0, 0)}, Asleep},
		{"being taken down", []map[string]any{revision("a-00001", "Reachable", 0, 0, 1)}, Asleep},
		{"starting", []map[string]any{revision("a-00001", "Reachable", 0, 1, 0)}, Starting},
		{"starting, not counted yet", []map[string]any{revision("a-00001", "Reachable", 0, 1, none)}, Starting},
		{"scale not known", []map[string]any{revision("a-00001", "Reachable", 0, -1, 1)}, Awake},
		{"scale not known, nothing there", []map[string]any{revision("a-00001", "Reachable", 0, -1, 0)}, Asleep},
		{"no status yet", []map[string]any{revision("a-00001", "Reachable", 0, none, none)}, Asleep},
		{"no route", []map[string]any{revision("a-00001", "", 0, 1, 1)}, Asleep},
		{"the newest sleeps", []map[string]any{revision("a-00002", "Reachable", 0, 0, 0), revision("a-00001", "Reachable", time.Hour, 1, 1)}, Asleep},
		{"the newest runs", []map[string]any{revision("a-00001", "Reachable", time.Hour, 0, 0), revision("a-00002", "Reachable", 0, 1, 1)}, Awake},
		{"the newest has no route", []map[string]any{revision("a-00002", "Unreachable", 0, 0, 0), revision("a-00001", "Reachable", time.Hour, 1, 1)}, Awake},
		{"made in the same second", []map[string]any{revision("a-00002", "Reachable", 0, 1, 1), revision("a-00001", "Reachable", 0, 0, 0)}, Awake},
	}
	for _, tt := range tests {
		for range 2 { // in any order
			if got, err := parseState([]byte(list(tt.items...))); err != nil || got != tt.want {
				t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
			}
			slices.Reverse(tt.items)
		}
	}
	for name, text := range map[string]string{"empty": "", "page": "<html>", "status": `{"kind":"Status","code":403}`, "another list": `{"kind":"PodList","items":[]}`,
		"scale as text": strings.Replace(list(revision("a", "Reachable", 0, 1, 1)), `"desiredScale":1`, `"desiredScale":"1"`, 1)} {
		if got, err := parseState([]byte(text)); err == nil || got != Asleep {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

// Whatever the API answers: a server counts as awake only if a revision that is routed has a pod and is to keep it, and that
// is the newest of those.
func FuzzPodAutoscalers(f *testing.F) {
	f.Add([]byte(list()))
	f.Add([]byte(list(revision("a-00001", "Reachable", 0, 1, 1))))
	f.Add([]byte(list(revision("a-00001", "Reachable", 0, 1, 1), revision("a-00002", "Reachable", -time.Hour, 0, 1))))
	f.Add([]byte(list(revision("a-00002", "Reachable", 0, 0, 0), revision("a-00001", "Unreachable", time.Hour, 1, 1))))
	f.Add([]byte(list(revision("b", "Reachable", 0, -1, 3), revision("a", "", 0, 2, -2))))
	f.Add([]byte(`{"kind":"Status","status":"Failure","code":403}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseState(text)
		if err != nil {
			if got != Asleep {
				t.Fatalf("%q: %d, though it cannot be read: %v", text, got, err)
			}
			return
		}
		var l podAutoscalers
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%q was read", text)
		}
		routed := slices.DeleteFunc(l.Items, func(p podAutoscaler) bool { return p.Spec.Reachability != "Reachable" })
		slices.SortFunc(routed, func(a, b podAutoscaler) int {
			if c := b.Metadata.Created.Compare(a.Metadata.Created); c != 0 {
				return c
			}
			return strings.Compare(b.Metadata.Name, a.Metadata.Name)
		})
		if len(routed) == 0 {
			if got != Asleep {
				t.Fatalf("%q: %d, and no route leads there", text, got)
			}
			return
		}
		desired, actual := int32(-1), int32(0)
		if s := routed[0].Status; s.Desired != nil {
			desired = *s.Desired
		}
		if s := routed[0].Status; s.Actual != nil {
			actual = *s.Actual
		}
		want := map[bool]State{true: Awake, false: Asleep}[actual > 0 && desired != 0]
		if actual <= 0 && desired > 0 {
			want = Starting
		}
		twins := len(routed) > 1 && routed[0].Metadata.Name == routed[1].Metadata.Name && routed[0].Metadata.Created.Equal(routed[1].Metadata.Created)
		if got != want && !twins {
			t.Fatalf("%q: %d, want %d", text, got, want)
		}
	})
}
