package operate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LogRequest says which lines are wanted.
type LogRequest struct {
	Server    string
	Owner     string // of one user's instance; empty is all instances
	Container string // empty is all that are ours
	Follow    bool   // go on until ctx ends, also when the server sleeps and wakes
	Previous  bool   // of containers before their last restart
	Tail      int64  // lines of each container at most
}

// maxLine is where a line is broken, in bytes.
const maxLine = 64 << 10

// queue is Knative's own container.
const queue = "queue-proxy"

// look is how often containers are looked for that began.
const look = 500 * time.Millisecond

// Logs writes what the pods of an entry log, each line behind the name of its pod and container where there are several. A
// server that sleeps has no pod, and so no logs: that is an error, unless lines are followed.
func (c *Cluster) Logs(ctx context.Context, r LogRequest, out io.Writer) error {
	if _, err := c.find(r.Server, r.Owner); err != nil {
		return err
	}
	if r.Follow && r.Previous {
		return errors.New("what ended cannot be followed")
	}
	streams, err := c.streams(ctx, r)
	if err != nil {
		return err
	}
	if r.Follow {
		return c.follow(ctx, r, streams, &lines{out: out, named: true})
	}
	if len(streams) == 0 {
		return fmt.Errorf("server %s sleeps, and its logs went with its pod: mcpgateway logs --follow waits for the next, mcpgateway wake makes one", r.Server)
	}
	to := &lines{out: out, named: len(streams) > 1}
	var problems []error
	read := 0
	for _, s := range streams {
		if err := c.copy(ctx, r, s, to); err != nil {
			problems = append(problems, err)
			continue
		}
		read++
	}
	if read > 0 && r.Previous {
		return nil // the other containers did not restart
	}
	return errors.Join(problems...)
}

// stream is what one container logs, from one start of it to its end.
type stream struct{ pod, container, id string }

// streams are those that can be read now, the oldest pod first.
func (c *Cluster) streams(ctx context.Context, r LogRequest) ([]stream, error) {
	selector := "mcpgateway.dev/server=" + r.Server
	if r.Owner != "" {
		selector += ",mcpgateway.dev/owner=" + r.Owner
	}
	pods, err := c.kube.CoreV1().Pods(c.namespace()).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	slices.SortStableFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	var list []stream
	for _, pod := range pods.Items {
		if err := has(pod, r.Container); err != nil {
			return nil, err
		}
		for _, s := range pod.Status.ContainerStatuses {
			began := s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
			if began && (s.Name == r.Container || r.Container == "" && s.Name != queue) {
				list = append(list, stream{pod.Name, s.Name, s.ContainerID})
			}
		}
	}
	return list, nil
}

// has tells which containers there are where one is asked for that is not among them.
func has(pod corev1.Pod, container string) error {
	var names []string
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			return nil
		}
		names = append(names, c.Name)
	}
	if container == "" {
		return nil
	}
	return fmt.Errorf("pod %s has no container %.80q; it has %s", pod.Name, container, strings.Join(names, ", "))
}

// follow reads each container from its start on, and those that begin later, until ctx ends.
func (c *Cluster) follow(ctx context.Context, r LogRequest, now []stream, to *lines) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	known := map[stream]bool{}
	failed := make(chan error, 1)
	for {
		current := map[stream]bool{}
		for _, s := range now {
			current[s] = true
			if known[s] {
				continue
			}
			as := r
			readers.Go(func() {
				// A container that ends, or a pod that is gone, ends its stream; that the writer is gone ends all.
				if err := c.copy(ctx, as, s, to); errors.Is(err, errWrite) {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		known, r.Tail = current, 0 // of who begins from now on, all
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-time.After(look):
		}
		next, err := c.streams(ctx, r)
		if err == nil {
			now = next
		} else if ctx.Err() == nil {
			return err
		}
	}
}

// copy writes one stream.
func (c *Cluster) copy(ctx context.Context, r LogRequest, s stream, to *lines) error {
	options := &corev1.PodLogOptions{Container: s.container, Follow: r.Follow, Previous: r.Previous}
	if r.Tail > 0 {
		options.TailLines = &r.Tail
	}
	from, err := c.kube.CoreV1().Pods(c.namespace()).GetLogs(s.pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("logs of %s in %s: %w", s.container, s.pod, err)
	}
	defer from.Close()
	lines := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			if err := to.write(s, string(line)); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("logs of %s in %s: %w", s.container, s.pod, err)
		}
	}
}

// errWrite says that nobody reads what is written.
var errWrite = errors.New("write")

// lines writes whole lines of several streams.
type lines struct {
	mu    sync.Mutex
	out   io.Writer
	named bool // each line behind where it is from
}

func (l *lines) write(from stream, line string) error {
	line = strings.TrimSuffix(printable(line), "\n") + "\n"
	if l.named {
		line = from.pod + " " + from.container + " | " + line
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := io.WriteString(l.out, line); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}
