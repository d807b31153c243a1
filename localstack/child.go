package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// How a program that ends is started again.
const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
	stable   = time.Minute // a program that ran this long begins with the shortest pause again
)

// grace is how long a program may take to stop before it is killed: more than the 10 s that gateway and deployer give
// calls under way.
const grace = 15 * time.Second

// child is a program that is kept running. It is in a process group of its own, so that Ctrl-C in a terminal reaches
// only us, who know the order in which to stop.
type child struct {
	name, path string
	env        []string
	out, err   io.WriteCloser
	lastWish   time.Duration // how long it may still take when it is to end at once

	end  context.CancelFunc // asks it to stop
	done chan struct{}      // closed when it has stopped for good

	mu      sync.Mutex
	running *exec.Cmd // nil between two runs
}

// start runs the program, again and again if need be, until stop. An end that was not asked for is sent to ended, if
// there is room: who waits for the start wants to know the first.
func (c *child) start(ended chan<- error) {
	var ctx context.Context
	ctx, c.end = context.WithCancel(context.Background())
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		// Where the kernel ends children with their parent, it goes by the thread that started them.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c.keep(ctx, ended)
	}()
}

func (c *child) keep(ctx context.Context, ended chan<- error) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("exit status 0")
		}
		if time.Since(began) > stable {
			pause = minPause
		}
		fmt.Fprintf(c.err, "ended (%v), starts again in %v\n", err, pause)
		select {
		case ended <- fmt.Errorf("%s ended: %w", c.name, err):
		default:
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// once runs the program until it ends, or until it has been stopped after ctx ended.
func (c *child) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.path)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, c.out, c.err
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	defer c.out.Close()
	defer c.err.Close()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.setRunning(cmd)
	defer c.setRunning(nil)
	return cmd.Wait()
}

func (c *child) setRunning(cmd *exec.Cmd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = cmd
}

// stop asks the program to stop and waits until it has.
func (c *child) stop() {
	c.end()
	<-c.done
}

// hurry ends a program that is being stopped at once. One that has processes of its own to end is asked once more first.
func (c *child) hurry() {
	if c.lastWish > 0 {
		c.send(syscall.SIGINT)
		select {
		case <-c.done:
		case <-time.After(c.lastWish):
		}
	}
	c.send(syscall.SIGKILL)
}

func (c *child) send(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		c.running.Process.Signal(sig) //nolint:errcheck // it has ended by itself
	}
}

// notify returns a context that ends with the next SIGINT or SIGTERM.
func notify() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}
