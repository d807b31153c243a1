package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mcpgateway/internal/deploy"
)

// Ensure returns the instance that p describes, and starts it if need be; an instance of the same key but of another
// hash takes no more calls and ends when it has finished those it has. Errors are *deploy.StartError, or ctx's.
func (d *Deployer) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	return d.flights.Ensure(ctx, p)
}

func (d *Deployer) ensure(p deploy.Plan) (deploy.Instance, error) {
	if err := d.accepting.Err(); err != nil {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: "The gateway is shutting down.", Cause: err})
	}
	key := p.Key()
	for _, g := range d.of(&key) {
		switch {
		case g.isLeaving():
		case g.hash != p.Hash:
			d.retire(g)
		case !g.wasReady(): // started by a deployer before us
			return d.await(g, p)
		case ready(d.done, g.url):
			return deploy.Instance{ID: g.id, URL: g.url}, nil
		default:
			d.end(g, ending{reason: reasonSilent})
		}
	}
	return d.start(p)
}

// start starts a new group. When it fails while somebody else has a port that was chosen for it, another one is tried,
// once.
func (d *Deployer) start(p deploy.Plan) (deploy.Instance, error) {
	if pause := d.backoff.Pause(p.Key(), time.Now()); pause > 0 {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{RetryAfter: pause,
			Message: "The server keeps stopping. It will be tried again after a pause.", Cause: errors.New("too many failures in a row")})
	}
	g, err := d.launch(p)
	if portTaken(err) {
		d.config.Logger.Warn("a port was taken, trying another", "server", p.Server, "error", err)
		g, err = d.launch(p)
	}
	if refused, ok := errors.AsType[*deploy.StartError](err); ok {
		return deploy.Instance{}, refused
	}
	if err != nil {
		return deploy.Instance{}, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Cause: err,
			RetryAfter: max(d.backoff.Pause(p.Key(), time.Now()), d.config.Backoff)})
	}
	return d.await(g, p)
}

// await waits until the group is ready. It asks often at first: a program in Go is ready in some milliseconds.
func (d *Deployer) await(g *group, p deploy.Plan) (deploy.Instance, error) {
	timeout := time.NewTimer(time.Until(g.started.Add(p.Startup)))
	defer timeout.Stop()
	pause := 2 * time.Millisecond
	for {
		if ready(d.done, g.url) && !g.isLeaving() {
			g.setReady()
			return deploy.Instance{ID: g.id, URL: g.url, Cold: true}, nil
		}
		select {
		case <-g.ended:
			return deploy.Instance{}, deploy.Refuse(d.config.Logger, g.key, deploy.StartError{Message: "The server stopped while it was starting.",
				Cause: errors.Join(g.foreign, errors.New("it ended before it was ready")), RetryAfter: max(d.backoff.Pause(g.key, time.Now()), d.config.Backoff)})
		case <-d.accepting.Done():
			return deploy.Instance{}, deploy.Refuse(d.config.Logger, g.key, deploy.StartError{Message: "The gateway is shutting down.", Cause: d.accepting.Err()})
		case <-timeout.C:
			d.end(g, ending{reason: reasonTimeout})
			<-g.ended
			return deploy.Instance{}, deploy.Refuse(d.config.Logger, g.key, deploy.StartError{Code: deploy.CodeTimeout, Message: "The server did not start in time.",
				Cause: fmt.Errorf("not ready after %v", p.Startup), RetryAfter: max(d.backoff.Pause(g.key, time.Now()), d.config.Backoff)})
		case <-time.After(pause):
		}
		pause = min(pause+pause/16, 50*time.Millisecond)
	}
}

// notConfigured is what callers read where an operator must act.
const notConfigured = "The server cannot be started as it is configured."

// tryAgain is when to ask again for what an operator, or a registry, must do first.
const tryAgain = 5 * time.Second
