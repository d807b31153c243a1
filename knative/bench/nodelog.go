package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// podLog is what the logs of a node tell of one pod, which its objects do not have, or in whole seconds only.
type podLog struct {
	sandbox time.Time // the pod's sandbox was there
	started time.Time // the last of its containers had been started
	last    string    // id of that container
	noticed time.Time // the kubelet noticed that, by listing the containers once a second (relist)
}

// nodeLog is what the logs of a node tell.
type nodeLog struct {
	pods  map[string]*podLog // by name
	owner map[string]string  // the pod of a sandbox or container
	zone  *time.Location     // of the kubelet's times
}

// readNode reads the logs of containerd 1.x and of a kubelet that logs at level 2.
func readNode(folder string) (*nodeLog, error) {
	n := &nodeLog{pods: map[string]*podLog{}, owner: map[string]string{}, zone: time.Local}
	for _, log := range []struct {
		name string
		read func(string)
	}{{"containerd.log", n.readContainerd}, {"kubelet.log", n.readKubelet}} { // in this order
		f, err := os.Open(filepath.Join(folder, log.name))
		if err != nil {
			return nil, fmt.Errorf("read the node's logs: %w", err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log.read(lines.Text())
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("read the node's logs: %s: %w", log.name, err)
		}
	}
	return n, nil
}

// What is read of containerd's lines (pkg/cri/server, in logfmt, where " is \").
var (
	sandboxLine   = regexp.MustCompile(`^time="([^"]+)" .*msg="RunPodSandbox for &PodSandboxMetadata\{Name:([^,]+),.* returns sandbox id \\"([0-9a-f]+)\\""`)
	containerLine = regexp.MustCompile(`msg="CreateContainer within sandbox \\"([0-9a-f]+)\\" .* returns container id \\"([0-9a-f]+)\\""`)
	startLine     = regexp.MustCompile(`^time="([^"]+)" .*msg="StartContainer for \\"([0-9a-f]+)\\" returns successfully"`)
)

func (n *nodeLog) readContainerd(line string) {
	if m := sandboxLine.FindStringSubmatch(line); m != nil {
		n.owner[m[3]] = m[2]
		n.pods[m[2]] = &podLog{sandbox: instant(m[1])}
	}
	if m := containerLine.FindStringSubmatch(line); m != nil {
		n.owner[m[2]] = n.owner[m[1]]
	}
	if m := startLine.FindStringSubmatch(line); m != nil {
		if pod := n.pods[n.owner[m[2]]]; pod != nil {
			pod.started, pod.last = instant(m[1]), m[2]
		}
	}
}

// What is read of the kubelet's lines (Kubernetes 1.35, kubelet.go, syncLoopIteration, in klog's form): what a relist found,
// and what a probe did.
var noticeLine = regexp.MustCompile(`^I(\d{4} [\d:.]+) .*"SyncLoop \((PLEG|probe)\)[^"]*".* pod="[^/"]+/([^"]+)"(?: event=\{.*"Type":"ContainerStarted","Data":"([0-9a-f]+)")?`)

// readKubelet notes when the kubelet noticed that all containers run. A relist may have seen the last one before its start
// had returned, and then finds nothing new; but the kubelet goes by what it saw after the start, and only the next one has
// that. It shows by the first probe.
func (n *nodeLog) readKubelet(line string) {
	m := noticeLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	pod := n.pods[m[3]]
	if pod == nil || !pod.noticed.IsZero() || m[2] == "PLEG" && m[4] != pod.last {
		return
	}
	year := pod.started.In(n.zone).Format("2006") // which klog leaves out
	at, err := time.ParseInLocation("20060102 15:04:05.000000", year+m[1], n.zone)
	if err == nil && !at.Before(pod.started) {
		pod.noticed = at
	}
}

// instant reads containerd's time; what is none is the zero time, which shows when the wake is looked at.
func instant(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
