// Package docker runs servers as groups of containers of a Docker Engine on this machine: the same plan as in a cluster,
// with the same isolation, and as quickly asleep.
//
// An instance is a network and a container for each unit of its plan. A unit that serves a TCP port shares the shim's
// network, as in a pod; any other has a stack of its own, and reaches the shim over a socket in a volume that only the two
// mount. While an instance sleeps nothing of it is left in the engine. What runs is known by labels, so that a deployer that
// is started anew finds it. A wake downloads nothing: images are fetched when the catalog is read.
//
// It does not hold servers to an egress: a container reaches what its machine does, though no other entry's.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/backoff"
	"mcpgateway/internal/deploy/flight"
	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/egress"
)

// Config is what a Deployer needs. Engine, Address, Lock and Backoff have defaults; all others are required.
type Config struct {
	// Engine is where the engine answers, such as unix:///var/run/docker.sock; DOCKER_HOST, and then that one, where empty.
	Engine string
	// State is the folder for all that the deployer keeps, private, and used by one deployer at a time. Containers mount parts
	// of it.
	State string
	// Secrets is the folder with the values: <id>-server/<key> and <id>-shim/<key>, a file each, chmod 600.
	Secrets string
	// Shim is the shim's program: static, for the engine's system.
	Shim string
	// Lock names the images of packages; without it there are none.
	Lock string
	// Address is where the gateway reaches the ports that the engine publishes on its own 127.0.0.1, which is the default.
	Address string
	// Drain is how long the shim of an instance that is replaced may finish the calls under way.
	Drain time.Duration
	// Backoff is the pause after the second failure in a row, one second where 0; it doubles up to a minute.
	Backoff time.Duration
	Logger  *slog.Logger
}

// Deployer runs plans as groups of containers. It may be used concurrently.
type Deployer struct {
	config  Config
	engine  *client.Client
	id      string // in the labels of all that is ours
	user    string // who runs images of ours
	shim    string // the shim's image
	arch    string // the kind of machine that the engine is on
	lock    *os.File
	images  *images
	backoff *backoff.Backoff
	done    context.Context // ends with Close
	close   context.CancelFunc
	// accepting ends with StopAll too: nothing is started any more.
	accepting context.Context
	stop      context.CancelFunc
	watched   sync.WaitGroup // what goes on until Close

	flights *flight.Board

	mu     sync.Mutex
	groups map[string]*group // by id
	starts sync.Mutex        // held from counting instances until the new one counts
}

// New connects to the engine and takes over what a former deployer on the same state folder left there: instances that run
// are found as they are, what is left of others is removed.
func New(c Config) (*Deployer, error) {
	if c.State == "" || c.Secrets == "" || c.Shim == "" || c.Drain <= 0 || c.Logger == nil {
		return nil, errors.New("docker deployer: state, secrets, shim, drain and logger are required")
	}
	if c.Backoff <= 0 {
		c.Backoff = time.Second
	}
	if c.Address == "" {
		c.Address = loopback
	}
	d, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("docker deployer: %w", err)
	}
	return d, nil
}

func open(c Config) (_ *Deployer, err error) {
	if c.State, err = filepath.Abs(c.State); err != nil {
		return nil, err
	}
	d := &Deployer{config: c, backoff: backoff.New(c.Backoff), groups: map[string]*group{}}
	d.flights = flight.New(d.ensure)
	d.done, d.close = context.WithCancel(context.Background())
	d.accepting, d.stop = context.WithCancel(d.done)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.lock, err = lockState(c.State); err != nil {
		return nil, err
	}
	id, err := secretfolder.RandomFile(filepath.Join(c.State, fileIdentity), 8)
	if err != nil {
		return nil, err
	}
	d.id, d.user = fmt.Sprintf("%x", id), ourUser()
	if d.engine, err = connect(d.done, c.Engine); err != nil {
		return nil, err
	}
	version, err := d.engine.ServerVersion(d.done, client.ServerVersionOptions{})
	if err != nil {
		return nil, err
	}
	d.arch = version.Arch
	d.images = newImages(d.done, d.engine, c.Logger)
	if d.shim, err = d.images.makeShim(c.Shim); err != nil {
		return nil, err
	}
	if err := d.takeOver(d.done); err != nil {
		return nil, err
	}
	d.watched.Go(d.watch)
	return d, nil
}

// The files of the state folder.
const (
	fileLock     = "containers.lock" // docker.lock, beside it where the platform file is in the folder, names images
	fileIdentity = "docker.id"
)

func lockState(state string) (*os.File, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(state, 0o700); err != nil { // it holds secrets that containers of other users read
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(state, fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("the state folder %s is another deployer's: %w", state, err)
	}
	return lock, nil
}

// ourUser is who runs images of ours: a user that is nobody on this machine, or, since only root can give files away, the
// deployer's own.
func ourUser() string {
	if os.Geteuid() == 0 {
		return fmt.Sprintf("%d:%[1]d", deploy.ImageUser)
	}
	return fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
}

// Close lets go of the state folder. Servers that run go on running.
func (d *Deployer) Close() error {
	d.close()
	d.watched.Wait()
	for _, g := range d.of(nil) {
		g.copied.Wait() // how far it got stands in a file then
	}
	var problems []error
	if d.engine != nil {
		problems = append(problems, d.engine.Close())
	}
	if d.lock != nil {
		problems = append(problems, d.lock.Close())
	}
	return errors.Join(problems...)
}

// Find returns the instance of key if one takes calls. It starts nothing.
func (d *Deployer) Find(ctx context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	for _, g := range d.of(&key) {
		if g.open() && ready(ctx, g.url) {
			return deploy.Instance{ID: g.id, URL: g.url}, true, nil
		}
	}
	return deploy.Instance{}, false, ctx.Err()
}

// List returns what runs, instances that start or finish included.
func (d *Deployer) List(ctx context.Context) ([]deploy.Status, error) {
	list := d.of(nil)
	statuses := make([]deploy.Status, len(list))
	var wg sync.WaitGroup
	for i, g := range list {
		wg.Go(func() {
			statuses[i] = deploy.Status{Key: g.key, ID: g.id, Hash: g.hash, Ready: g.wasReady(), Memory: d.memory(ctx, g)}
		})
	}
	wg.Wait()
	return statuses, nil
}

// of returns the groups of one key, or of all, the oldest first.
func (d *Deployer) of(key *deploy.Key) []*group {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []*group
	for _, g := range d.groups {
		if key == nil || g.key.ID() == key.ID() {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b *group) int { return a.started.Compare(b.started) })
	return list
}

// SetEgress does nothing: the catalog refuses egress of a server that runs here, and the shim of a remote one is told it by
// its plan.
func (d *Deployer) SetEgress(context.Context, string, []egress.Rule) error { return nil }

// RemoveAsleep removes nothing: of an instance that sleeps nothing is left.
func (d *Deployer) RemoveAsleep(context.Context, deploy.Key, time.Time) (bool, error) {
	return false, nil
}
