package main

import (
	"strings"
	"testing"
	"time"
)

// The logs in testdata are those of one wake, as the test cluster wrote them.
func TestReadNode(t *testing.T) {
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	time.Local = time.UTC
	n, err := readNode("testdata")
	if err != nil {
		t.Fatal(err)
	}
	pod := n.pods["mcp-path-00001-deployment-56fbb5d658-dzzq6"]
	if len(n.pods) != 1 || pod == nil {
		t.Fatalf("pods %v", n.pods)
	}
	for name, got := range map[string][2]string{
		"sandbox": {pod.sandbox.Format(time.RFC3339Nano), "2026-11-27T10:50:52.342122728Z"},
		"started": {pod.started.Format(time.RFC3339Nano), "2026-11-27T10:50:52.637362426Z"},
		"noticed": {pod.noticed.Format(time.RFC3339Nano), "2026-11-27T10:50:52.967429Z"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s at %s, want %s", name, got[0], got[1])
		}
	}
	if _, err := readNode(t.TempDir()); err == nil {
		t.Error("no logs are no logs of nothing")
	}
}

// What the kubelet notices counts from when all containers had been started.
func TestNoticed(t *testing.T) {
	started := time.Date(2026, 12, 31, 23, 59, 59, 500e6, time.UTC)
	pleg := func(clock, container string) string {
		return "I" + clock + `    5643 kubelet.go:2619] "SyncLoop (PLEG): event for pod" pod="ns/p" event={"ID":"u","Type":"ContainerStarted","Data":"` + container + `"}`
	}
	probe := func(clock string) string {
		return "I" + clock + `    5643 kubelet.go:2707] "SyncLoop (probe)" probe="readiness" status="not ready" pod="ns/p"`
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"the last container", []string{pleg("1231 23:59:59.700000", "aa"), pleg("1231 23:59:59.800000", "bb"), probe("1231 23:59:59.900000")}, "23:59:59.8"},
		{"others only", []string{pleg("1231 23:59:59.700000", "aa")}, ""},
		{"seen before its start returned", []string{pleg("1231 23:59:59.400000", "bb"), probe("1231 23:59:59.900000")}, "23:59:59.9"},
		{"another pod's", []string{strings.ReplaceAll(pleg("1231 23:59:59.700000", "bb"), "ns/p", "ns/q")}, ""},
		{"not of interest", []string{`I1231 23:59:59.700000    5643 kubelet.go:2588] "SyncLoop ADD" source="api" pods=["ns/p"]`}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &nodeLog{pods: map[string]*podLog{"p": {started: started, last: "bb"}}, zone: time.UTC}
			for _, line := range tt.lines {
				n.readKubelet(line)
			}
			got := ""
			if at := n.pods["p"].noticed; !at.IsZero() {
				got = at.Format("15:04:05.9")
			}
			if got != tt.want {
				t.Errorf("noticed at %q, want %q", got, tt.want)
			}
		})
	}
}
