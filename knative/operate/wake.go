package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mcpgateway/internal/mcp"
	"mcpgateway/knative"
)

// How a server's start is watched: how often, and how long after its startup time it is given up.
const (
	glance = 100 * time.Millisecond
	grace  = 5 * time.Second
)

// ingressLag is how long an ingress may not know of a service that was just deployed.
const ingressLag = 10 * time.Second

// Wake sends what a shim answers without doing anything, waits for the answer, and writes what happens meanwhile. Errors say
// what keeps the server from starting.
func (c *Cluster) Wake(ctx context.Context, id, owner string, out io.Writer) error {
	entry, err := c.find(id, owner)
	switch {
	case err != nil:
		return err
	case entry.Instances.PerUser && owner == "":
		return fmt.Errorf("each user has an instance of server %s: --owner says whose, as mcpgateway status shows them", id)
	}
	s, err := c.instance(ctx, service(id, owner))
	if err != nil {
		return fmt.Errorf("server %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(entry.Startup.Timeout)+grace)
	defer cancel()
	w := &waking{cluster: c, service: s, id: id, out: out, began: time.Now(), told: map[string]bool{}}
	w.tell(fmt.Sprintf("%s is %s", s.Name, s.State))
	return w.wait(ctx)
}

// instance finds what is to be woken.
func (c *Cluster) instance(ctx context.Context, name string) (knative.Service, error) {
	services, err := c.deployer.Survey(ctx)
	if err != nil {
		return knative.Service{}, err
	}
	for _, s := range services {
		switch {
		case s.Name != name:
			continue
		case s.Revision == "":
			return s, fmt.Errorf("it has no revision that takes calls yet: %s", printable(s.Trouble))
		}
		return s, nil
	}
	return knative.Service{}, errNotDeployed
}

// waking is one wake.
type waking struct {
	cluster *Cluster
	service knative.Service
	id      string
	out     io.Writer
	began   time.Time

	mu   sync.Mutex
	told map[string]bool
}

func (w *waking) tell(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told[line] {
		w.told[line] = true
		fmt.Fprintf(w.out, "%6.2fs  %s\n", time.Since(w.began).Seconds(), printable(line))
	}
}

// wait sends the request and watches until it is answered, or something keeps the server from starting.
func (w *waking) wait(ctx context.Context) error {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	answered := make(chan error, 1)
	go func() { answered <- w.ask(asking) }()
	for {
		select {
		case err := <-answered:
			w.watch(ctx)
			if err == nil {
				w.tell("answered: it takes calls")
				return nil
			}
			if why := w.cluster.deployer.Obstacle(context.WithoutCancel(ctx), w.service.Name); why != nil {
				err = fmt.Errorf("%w: %s", err, printable(why.Error()))
			}
			return fmt.Errorf("server %s does not start: %w", w.id, err)
		case <-time.After(glance):
		}
		w.watch(ctx)
		if why := w.cluster.deployer.Obstacle(ctx, w.service.Name); why != nil && ctx.Err() == nil {
			return fmt.Errorf("server %s does not start: %s", w.id, printable(why.Error()))
		}
	}
}

// watch tells what the pods do now.
func (w *waking) watch(ctx context.Context) {
	pods, err := w.cluster.kube.CoreV1().Pods(w.cluster.namespace()).List(ctx, metav1.ListOptions{LabelSelector: "serving.knative.dev/service=" + w.service.Name})
	if err != nil {
		return // the answer, or its time, ends the wait
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		w.tell("pod " + pod.Name)
		if pod.Spec.NodeName != "" {
			w.tell("  on node " + pod.Spec.NodeName)
		}
		for _, s := range pod.Status.ContainerStatuses {
			if s.State.Running != nil {
				w.tell("  " + s.Name + " started")
			}
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				w.tell("  ready")
			}
		}
	}
}

// errNotKnown says that the ingress has not heard of the service: nothing was run.
var errNotKnown = errors.New("the ingress does not know it")

// ask asks, again while an ingress has not heard yet of what was just deployed.
func (w *waking) ask(ctx context.Context) error {
	for {
		err := w.askOnce(ctx)
		if !errors.Is(err, errNotKnown) || time.Since(w.began) > w.cluster.lag {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(w.cluster.lag / 40):
		}
	}
}

// askOnce sends the request through the ingress, as the gateway does, or by way of the API server where no ingress is reached
// from here.
func (w *waking) askOnce(ctx context.Context) error {
	resp, err := w.cluster.throughIngress(ctx, w.service.Name)
	if errors.Is(err, errUnreached) {
		w.tell(fmt.Sprintf("no ingress is reached from here (%v): it is asked through the API server", err))
		resp, err = w.cluster.throughAPI(ctx, w.service.Revision)
	}
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer after %v", time.Since(w.began).Round(time.Second))
		}
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	switch mark := resp.Header.Get(mcp.HeaderShim); {
	case mark == "" && resp.StatusCode == http.StatusNotFound:
		return errNotKnown
	case mark != w.id:
		return fmt.Errorf("not its shim answered, but something before it: %s: %s", resp.Status, strings.TrimSpace(printable(string(text))))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("its shim runs, and cannot reach the server or a filter: %s", resp.Status)
	}
	return nil
}
