package process

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/deploy"
)

// patience is how long a supervisor may take to end its group at once, before it is killed itself.
const patience = 3 * time.Second

// retire has a group take no more calls, and end when it has finished those it has. It does not wait.
func (d *Deployer) retire(g group) {
	if g.leaving() {
		return
	}
	g.stopServing()
	if g.signal(syscall.SIGTERM) {
		d.config.Logger.Info("finishing", "server", g.Key.Server, "owner", g.Key.Owner, "instance", g.id())
	}
}

// kill ends a group at once.
func (d *Deployer) kill(g group) {
	if lock, err := g.openLock(); err == nil {
		defer lock.Close()
		g.stopServing()
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			g.signal(sig)
			if waitReleased(ctx, lock) {
				break
			}
		}
	}
	d.collect(g)
}

// Deploy has the instances of a plan's key that were started by another hash take no more calls and finish. It does
// not wait for them.
func (d *Deployer) Deploy(_ context.Context, p deploy.Plan) error {
	key := p.Key()
	list, err := d.living(&key)
	for _, g := range list {
		if g.Hash != p.Hash {
			d.retire(g)
		}
	}
	return err
}

// Remove ends all instances of key, and returns when nothing is left of them. Calls under way have five seconds.
func (d *Deployer) Remove(ctx context.Context, key deploy.Key) error {
	list, err := groups(d.config.instances(), &key)
	if err != nil {
		return err
	}
	return d.remove(ctx, list)
}

// RemoveAsleep removes nothing: of an instance that sleeps nothing is left.
func (d *Deployer) RemoveAsleep(context.Context, deploy.Key, time.Time) (bool, error) {
	return false, nil
}

// StopAll ends everything, and starts nothing more. It is for a shutdown that should leave nothing behind.
func (d *Deployer) StopAll(ctx context.Context) error {
	d.close()
	d.packages.Close()
	d.starts.Lock() // whoever was about to start has put up a folder, or will see that we are closed
	list, err := groups(d.config.instances(), nil)
	d.starts.Unlock()
	if err != nil {
		return err
	}
	err = d.remove(ctx, list)
	d.watched.Wait()
	return err
}

func (d *Deployer) remove(ctx context.Context, list []group) error {
	var wg sync.WaitGroup
	for _, g := range list {
		wg.Go(func() { d.end(ctx, g) })
	}
	wg.Wait()
	for _, g := range list {
		if _, err := os.Lstat(g.dir); err == nil {
			return fmt.Errorf("remove %s: instance %s is still there", g.Key.Server, g.id())
		}
	}
	return nil
}

// end ends a group politely as long as ctx allows, and then at once.
func (d *Deployer) end(ctx context.Context, g group) {
	// Opened before anything is said: the supervisor removes the file some moments before it ends.
	if lock, err := g.openLock(); err == nil {
		defer lock.Close()
		d.retire(g)
		polite, cancel := context.WithTimeout(ctx, stopGrace)
		defer cancel()
		if !waitReleased(polite, lock) {
			d.kill(g)
		}
	}
	d.collect(g)
}

// waitReleased reports whether the supervisor had ended before ctx did.
func waitReleased(ctx context.Context, lock *os.File) bool {
	for held(lock) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}
