package operate

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogs(t *testing.T) {
	c, api, _ := newCluster(t)
	shared, own := map[string]string{"mcpgateway.dev/server": "shared"}, func(owner string) map[string]string {
		return map[string]string{"mcpgateway.dev/server": "own", "mcpgateway.dev/owner": owner}
	}
	api.add("s-1", shared, noon, "shim", "server", queue)
	api.add("o-2", own("0123456789abcdef"), noon.Add(time.Minute), "shim", "server", queue)
	api.add("o-1", own("fedcba9876543210"), noon, "shim", "server", queue)
	api.logs = map[string]string{"s-1/shim": "one\ntwo", "s-1/server": "\x1b]0;title\a\xff\n", "s-1/server/previous": "panic\n", "s-1/" + queue: "q\n",
		"o-1/shim": "1\n", "o-2/shim": "2\n", "o-1/server": "", "o-2/server": ""}
	for name, tt := range map[string]struct {
		r         LogRequest
		want, err string
	}{
		"all":               {LogRequest{Server: "shared"}, "s-1 shim | one\ns-1 shim | two\ns-1 server | ?]0;title??\n", ""},
		"one container":     {LogRequest{Server: "shared", Container: "shim", Tail: 7}, "one\ntwo\n", ""},
		"Knative's":         {LogRequest{Server: "shared", Container: queue}, "q\n", ""},
		"previous":          {LogRequest{Server: "shared", Previous: true}, "s-1 server | panic\n", ""},
		"previous of one":   {LogRequest{Server: "shared", Previous: true, Container: "shim"}, "", "previous terminated container not found"},
		"all users":         {LogRequest{Server: "own"}, "o-1 shim | 1\no-2 shim | 2\n", ""},
		"one user":          {LogRequest{Server: "own", Owner: "0123456789abcdef", Container: "shim"}, "2\n", ""},
		"no such user":      {LogRequest{Server: "own", Owner: "0000000000000000"}, "", "server own sleeps"},
		"another container": {LogRequest{Server: "shared", Container: "sh"}, "", `pod s-1 has no container "sh"; it has shim, server, queue-proxy`},
		"asleep":            {LogRequest{Server: "new"}, "", "server new sleeps"},
		"unknown":           {LogRequest{Server: "a,b=c"}, "", "has no server"},
		"an owner's label":  {LogRequest{Server: "own", Owner: "x,y=z"}, "", "16 hex digits"},
		"both":              {LogRequest{Server: "shared", Follow: true, Previous: true}, "", "what ended cannot be followed"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := c.Logs(t.Context(), tt.r, &out)
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
	if asked := strings.Join(api.asked, " "); !strings.Contains(asked, "container=shim&tailLines=7") {
		t.Errorf("asked %s", asked)
	}
}

// A line without an end is broken, and nothing of it is kept waiting.
func TestLongLines(t *testing.T) {
	c, api, _ := newCluster(t)
	api.add("s-1", map[string]string{"mcpgateway.dev/server": "shared"}, noon, "shim")
	api.logs["s-1/shim"] = strings.Repeat("x", 3*maxLine+1)
	var out strings.Builder
	if err := c.Logs(t.Context(), LogRequest{Server: "shared"}, &out); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 5 || len(lines[0]) != maxLine || lines[3] != "x" {
		t.Errorf("%d lines", len(lines))
	}
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
	done chan struct{} // closed when want is there
	want string
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	if b.want != "" && strings.Contains(b.text.String(), b.want) {
		b.want = ""
		close(b.done)
	}
	return len(p), nil
}

// expect has the channel that it returns be closed when a text was written.
func (b *lockedBuffer) expect(text string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.want, b.done = text, make(chan struct{})
	return b.done
}

// Who follows reads each container once, those of pods that come later too, until he leaves.
func TestFollow(t *testing.T) {
	c, api, _ := newCluster(t)
	labels := map[string]string{"mcpgateway.dev/server": "shared"}
	api.logs = map[string]string{"s-1/shim": "first\n", "s-2/shim": "second\n", "s-3/shim": "third\n"}
	out := &lockedBuffer{}
	first := out.expect("s-1 shim | first\n")
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Logs(ctx, LogRequest{Server: "shared", Follow: true, Tail: 1}, out) }() // while it sleeps
	api.add("s-1", labels, noon, "shim")
	<-first
	second := out.expect("s-2 shim | second\n")
	api.add("s-2", labels, noon, "shim")
	<-second
	third := out.expect("s-3 shim | third\n")
	api.add("s-3", labels, noon, "shim")
	<-third
	leave()
	if err := <-ended; err != nil {
		t.Errorf("who leaves: %v", err)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if len(api.asked) != 3 {
		t.Errorf("asked for logs %d times, and wrote\n%s", len(api.asked), out.text.String())
	}
	if last := api.asked[len(api.asked)-1]; !strings.Contains(last, "follow=true") || strings.Contains(last, "tailLines") {
		t.Errorf("of a pod that came later it asked %s", last)
	}
}

// closedPipe is an output that nobody reads any more.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFollowEndsWithItsReader(t *testing.T) {
	c, api, _ := newCluster(t)
	api.add("s-1", map[string]string{"mcpgateway.dev/server": "shared"}, noon, "shim")
	api.logs["s-1/shim"] = "x\n"
	if err := c.Logs(t.Context(), LogRequest{Server: "shared", Follow: true}, closedPipe{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}
