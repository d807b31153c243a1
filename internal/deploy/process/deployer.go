// Package process runs servers as groups of processes on this machine, which has nothing to install and is what
// `mcpgateway run` uses.
//
// Every instance has a supervisor process of its own, which outlives the deployer, and a folder in the state folder; what
// runs is read from there, so that a deployer that is started anew finds everything. Processes of one user are no
// isolation boundary: they can read each other's memory and files. With Config.Users every server has a user of its own,
// which shims, filters, other servers and all their files, sockets and memory are closed to; TCP ports of this machine are
// open to everybody on it. The limits of plans are not enforced. The package runs no images.
package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/backoff"
	"mcpgateway/internal/deploy/flight"
	"mcpgateway/internal/deploy/packages"
	"mcpgateway/internal/egress"
	"mcpgateway/internal/socket"
)

// Config is what a Deployer needs. All fields but Users and Backoff are required.
type Config struct {
	// State is the folder for all that the deployer keeps, made if need be, private, and used by one deployer at a time.
	// Its absolute path must be short: sockets are in it.
	State string
	// Secrets is the folder with the values: <id>-server/<key> and <id>-shim/<key>, a file each, chmod 600.
	Secrets string
	// Shim is the path of the shim's program.
	Shim string
	// Supervisor is the command that calls Supervise, program first.
	Supervisor []string
	// Drain is how long the shim of an instance that is replaced may finish the calls under way.
	Drain time.Duration
	// Users are for servers, each of which gets one of its own, so that they can read neither what is ours nor each other's.
	// The zero Users has them run as we do. Others need root, on Linux; shims and filters stay the deployer's.
	Users Users
	// Backoff is the pause after the second failure in a row, one second where 0; it doubles up to a minute.
	Backoff time.Duration
	Logger  *slog.Logger
}

// Deployer runs plans as groups of processes. It may be used concurrently.
type Deployer struct {
	config   Config
	lock     *os.File
	ports    *ports
	users    *users
	packages *packages.Store
	backoff  *backoff.Backoff
	done     context.Context // ends with Close: nothing is started any more
	close    context.CancelFunc
	watched  sync.WaitGroup // groups whose end is waited for

	flights *flight.Board
	starts  sync.Mutex // held from counting instances until the new one counts
}

// New takes over a state folder: groups that run are found as they are, what is left of others is removed.
func New(c Config) (*Deployer, error) {
	if c.State == "" || c.Secrets == "" || c.Shim == "" || len(c.Supervisor) == 0 || c.Drain <= 0 || c.Logger == nil {
		return nil, errors.New("process deployer: state, secrets, shim, supervisor, drain and logger are required")
	}
	var err error
	if c.State, err = filepath.Abs(c.State); err != nil {
		return nil, fmt.Errorf("process deployer: %w", err)
	}
	longest := filepath.Join(c.instances(), string(make([]byte, idLength)), socketShim)
	if over := len(longest) - socket.MaxPath; over > 0 {
		return nil, fmt.Errorf("process deployer: the state folder's path is %d bytes too long for Unix sockets: %s", over, c.State)
	}
	if c.Backoff <= 0 {
		c.Backoff = time.Second
	}
	lock, err := lockState(c)
	if err != nil {
		return nil, fmt.Errorf("process deployer: %w", err)
	}
	d := &Deployer{config: c, lock: lock, ports: newPorts(c.instances()), backoff: backoff.New(c.Backoff)}
	d.flights = flight.New(d.ensure)
	d.done, d.close = context.WithCancel(context.Background())
	if d.users, err = openUsers(c); err == nil {
		d.packages, err = packages.Open(packages.Config{Folder: c.packages(), Logger: c.Logger})
	}
	if err == nil {
		err = d.takeOver()
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("process deployer: %w", err)
	}
	return d, nil
}

// lockState makes the state folder private and ours.
func lockState(c Config) (*os.File, error) {
	if err := os.MkdirAll(c.instances(), 0o700); err != nil {
		return nil, err
	}
	mode := os.FileMode(0o700)
	if c.Users != (Users{}) {
		mode = 0o711 // to their homes and to packages; all else in it is closed by itself
	}
	if err := os.Chmod(c.State, mode); err != nil {
		return nil, err
	}
	if err := c.checkUsers(); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(c.State, fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("the state folder %s is another deployer's: %w", c.State, err)
	}
	return lock, nil
}

// takeOver removes what is dead and remembers the ports of what is alive.
func (d *Deployer) takeOver() error {
	hidden, err := filepath.Glob(filepath.Join(d.config.instances(), ".*"))
	if err != nil {
		return err
	}
	for _, dir := range hidden {
		os.RemoveAll(dir) // of a deployer that was killed before the start
	}
	list, err := d.living(nil)
	for _, g := range list {
		d.ports.keep(g.Ports, g.id())
		if !d.users.fits(g) {
			d.retire(g) // servers were to be apart, or were not, when it was started
		}
	}
	return err
}

// living returns the groups that are alive, of one key or of all, and removes what is left of others.
func (d *Deployer) living(key *deploy.Key) ([]group, error) {
	list, err := groups(d.config.instances(), key)
	return slices.DeleteFunc(list, func(g group) bool {
		alive := g.alive()
		if !alive {
			d.collect(g)
		}
		return !alive
	}), err
}

// Close lets go of the state folder. Servers that run go on running; installs end.
func (d *Deployer) Close() error {
	d.close()
	d.packages.Close()
	return d.lock.Close()
}

// Find returns the instance of key if one takes calls. It starts nothing.
func (d *Deployer) Find(_ context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	list, err := d.living(&key)
	if err != nil {
		return deploy.Instance{}, false, err
	}
	for _, g := range list {
		if g.serves() {
			return deploy.Instance{ID: g.id(), URL: g.url()}, true, nil
		}
	}
	return deploy.Instance{}, false, nil
}

// List returns what runs, instances that start or finish included.
func (d *Deployer) List(context.Context) ([]deploy.Status, error) {
	list, err := d.living(nil)
	if err != nil {
		return nil, err
	}
	statuses := []deploy.Status{}
	supervisors := make([]int, len(list))
	for i, g := range list {
		statuses = append(statuses, g.status())
		var r supervisorRecord
		_ = readJSON(g.file(fileSupervisor), &r) // none yet, or none any more: its memory is not known
		supervisors[i] = r.PID
	}
	for i, bytes := range resident(supervisors) {
		statuses[i].Memory = bytes
	}
	return statuses, nil
}

var serverName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123 label

// SetRules puts signed rules in force for all instances of server: the file that they mount is replaced at once. An
// instance can only start once its server has rules.
func (d *Deployer) SetRules(_ context.Context, server string, signed []byte) error {
	if !serverName.MatchString(server) {
		return fmt.Errorf("set rules: %q is not a server's name", server)
	}
	path := d.config.mount("rules", server)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	if err := atomicfile.Replace(path, signed); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	return nil
}

// SetEgress does nothing: a process reaches what its machine does. The catalog refuses egress of a server that runs here, and
// the shim of a remote one is told it by its plan.
func (d *Deployer) SetEgress(context.Context, string, []egress.Rule) error { return nil }

// Retain removes the rules of servers that are not named and of which nothing runs.
func (d *Deployer) Retain(_ context.Context, servers []string) error {
	running, err := d.living(nil)
	if err != nil {
		return err
	}
	for _, g := range running {
		servers = append(servers, g.Key.Server)
	}
	files, err := os.ReadDir(d.config.mount("rules", ""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var problems []error
	for _, f := range files {
		if name := f.Name(); serverName.MatchString(name) && !slices.Contains(servers, name) {
			problems = append(problems, os.Remove(d.config.mount("rules", name)))
		}
	}
	return errors.Join(append(problems, err)...) // ReadDir returns what it could read besides its error
}

// Rules returns what SetRules put in force last; fs.ErrNotExist where it never did.
func (d *Deployer) Rules(server string) ([]byte, error) {
	if !serverName.MatchString(server) {
		return nil, fmt.Errorf("read rules: %q is not a server's name", server)
	}
	return os.ReadFile(d.config.mount("rules", server))
}
