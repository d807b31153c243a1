package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
)

// Ensure returns the instance that p describes, and starts it if need be; an instance of the same key but of another
// hash takes no more calls and ends when it has finished those it has. What the plan needs is installed first. Errors
// are *deploy.StartError, or ctx's.
func (d *Deployer) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	late, err := d.install(ctx, p)
	if err != nil {
		return deploy.Instance{}, err
	}
	if !late.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, late, &deploy.StartError{Code: deploy.CodeUnavailable, RetryAfter: tryAgain,
			Message: "The server is still starting, try again.", Cause: errors.New("what it needs was installed before")})
		defer cancel()
	}
	return d.flights.Ensure(ctx, p)
}

func (d *Deployer) ensure(p deploy.Plan) (deploy.Instance, error) {
	if d.done.Err() != nil {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: "The gateway is shutting down.", Cause: d.done.Err()})
	}
	key := p.Key()
	list, err := d.living(&key)
	if err != nil {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, key, deploy.StartError{Cause: err})
	}
	for _, g := range list {
		switch {
		case g.Hash != p.Hash:
			d.retire(g)
		case !g.wasReady(): // started by a deployer before us
			return d.await(g, p, nil)
		case g.serves():
			return deploy.Instance{ID: g.id(), URL: g.url()}, nil
		}
	}
	return d.start(p)
}

// start starts a new group. When it fails while somebody else has a port that was chosen for it, another one is tried,
// once: the port was free when it was chosen.
func (d *Deployer) start(p deploy.Plan) (deploy.Instance, error) {
	if pause := d.backoff.Pause(p.Key(), time.Now()); pause > 0 {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{RetryAfter: pause,
			Message: "The server keeps stopping. It will be tried again after a pause.", Cause: errors.New("too many failures in a row")})
	}
	for try := 0; ; try++ {
		g, ended, err := d.launch(p)
		if err != nil {
			return deploy.Instance{}, err
		}
		instance, err := d.await(g, p, ended)
		if err == nil || try > 0 || deploy.AsStartError(err).Code != deploy.CodeUnavailable || !inUse(g.Ports) {
			return instance, err
		}
		d.config.Logger.Warn("a port was taken meanwhile, trying another", "server", p.Server, "instance", g.id())
	}
}

// await waits until the group is ready. It asks often at first: a program in Go is ready in some milliseconds.
// Ended is closed when the supervisor has gone; where it is nil, somebody else started it, and its lock tells.
func (d *Deployer) await(g group, p deploy.Plan, ended <-chan struct{}) (deploy.Instance, error) {
	timeout := time.NewTimer(time.Until(g.Started.Add(p.Startup)))
	defer timeout.Stop()
	shim := shimClient(g)
	defer shim.CloseIdleConnections()
	pause := 2 * time.Millisecond
	var answering time.Time // since when something answers that may not be ours
	for {
		if !ready(shim, g) {
			answering = time.Time{}
		} else if answering.IsZero() {
			answering = time.Now()
		}
		if !answering.IsZero() && (g.listens() || time.Since(answering) > strangerPatience) {
			if err := atomicfile.Replace(g.file(fileReady), nil); err != nil {
				return deploy.Instance{}, d.failStart(g, err)
			}
			return deploy.Instance{ID: g.id(), URL: g.url(), Cold: true}, nil
		}
		select {
		case <-ended:
			return deploy.Instance{}, d.failStart(g, errors.New("it ended before it was ready"))
		case <-d.done.Done():
			return deploy.Instance{}, deploy.Refuse(d.config.Logger, g.Key, deploy.StartError{Message: "The gateway is shutting down.", Cause: d.done.Err()})
		case <-timeout.C:
			return deploy.Instance{}, d.failTimeout(g, p)
		case <-time.After(pause):
		}
		if ended == nil && !g.alive() {
			d.collect(g)
			return deploy.Instance{}, d.failStart(g, errors.New("it ended before it was ready"))
		}
		pause = min(pause+pause/16, 50*time.Millisecond)
	}
}

// strangerPatience is how long a server must have answered whose listener none of its group's processes holds. That
// may be a proxy which it had started, as with "docker run -p"; or another program that was faster to take the port. Then
// the server is about to end, and callers must not be sent to the other one meanwhile.
const strangerPatience = 2 * time.Second

func shimClient(g group) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.file(socketShim))
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 2 * time.Second}
}

// ready asks the shim, which answers for the server behind it too.
func ready(shim *http.Client, g group) bool {
	res, err := shim.Get("http://shim/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// failStart is for a group that ended on its own: collect has counted and logged why.
func (d *Deployer) failStart(g group, cause error) error {
	retry := max(d.backoff.Pause(g.Key, time.Now()), d.config.Backoff)
	return deploy.Refuse(d.config.Logger, g.Key, deploy.StartError{Message: "The server stopped while it was starting.", Cause: cause, RetryAfter: retry})
}

func (d *Deployer) failTimeout(g group, p deploy.Plan) error {
	d.backoff.Fail(g.Key, g.Started, time.Now())
	d.kill(g)
	return deploy.Refuse(d.config.Logger, g.Key, deploy.StartError{Code: deploy.CodeTimeout, Message: "The server did not start in time.",
		Cause: fmt.Errorf("not ready after %v", p.Startup), RetryAfter: max(d.backoff.Pause(g.Key, time.Now()), d.config.Backoff)})
}
