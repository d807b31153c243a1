package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/unitlog"
)

// launch starts the supervisor of a new group. The channel is closed when the group has ended and was collected.
func (d *Deployer) launch(p deploy.Plan) (group, <-chan struct{}, error) {
	programs, err := d.programs(p)
	if err != nil {
		return group{}, nil, err
	}
	g, lock, err := d.claim(p)
	if err != nil {
		return g, nil, err
	}
	defer lock.Close()
	s, err := newBlueprint(d.config, p, g, programs).spec()
	if err != nil {
		d.abandon(g)
		return g, nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Message: "The server cannot be started as it is configured.", Cause: err, RetryAfter: 30 * time.Second})
	}
	command, err := d.supervise(s, lock)
	if err != nil {
		d.abandon(g)
		return g, nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Cause: err, RetryAfter: time.Second})
	}
	d.config.Logger.Info("starting", "server", p.Server, "owner", p.Owner, "instance", g.id())
	ended := make(chan struct{})
	go func() {
		defer d.watched.Done()
		defer close(ended)
		_ = command.Wait() // how it ended stands in the folder
		if d.done.Err() == nil {
			d.collect(g) // otherwise the folder may be another deployer's by now
		}
	}()
	return g, ended, nil
}

// abandon takes back a claim.
func (d *Deployer) abandon(g group) {
	os.RemoveAll(g.dir)
	d.watched.Done()
}

// claim makes the folder of a new group, unless there are as many instances as the plan allows. The group is counted
// as watched from now on.
func (d *Deployer) claim(p deploy.Plan) (group, *os.File, error) {
	d.starts.Lock()
	defer d.starts.Unlock()
	general := deploy.StartError{RetryAfter: time.Second}
	if general.Cause = d.done.Err(); general.Cause != nil {
		return group{}, nil, deploy.Refuse(d.config.Logger, p.Key(), general)
	}
	if p.Instances > 0 {
		up, err := d.countInstances(p.Server)
		if err != nil {
			general.Cause = err
			return group{}, nil, deploy.Refuse(d.config.Logger, p.Key(), general)
		}
		if up >= p.Instances {
			return group{}, nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{Code: deploy.CodeLimit, RetryAfter: p.Scale.Idle,
				Message: "As many people use this server as it has room for.", Cause: fmt.Errorf("%d instances are up", up)})
		}
	}
	owner, err := d.users.assign(p.Key())
	if err != nil {
		general.Cause = err
		return group{}, nil, deploy.Refuse(d.config.Logger, p.Key(), general)
	}
	chosen, err := d.ports.choose(portsNeeded(p))
	if err != nil {
		general.Cause = err
		return group{}, nil, deploy.Refuse(d.config.Logger, p.Key(), general)
	}
	g, lock, err := createGroup(d.config.instances(), record{
		Key: p.Key(), Hash: p.Hash, Ports: chosen, User: owner, Packages: packagesOf(p), Started: time.Now()})
	if err != nil {
		d.ports.release(chosen)
		general.Cause = err
		return g, nil, deploy.Refuse(d.config.Logger, p.Key(), general)
	}
	d.ports.keep(chosen, g.id())
	d.watched.Add(1)
	return g, lock, nil
}

func (d *Deployer) countInstances(server string) (int, error) {
	list, err := d.living(nil)
	n := 0
	for _, g := range list {
		if g.Key.Server == server && !g.leaving() {
			n++
		}
	}
	return n, err
}

// supervise starts the supervisor, in a session of its own: signals that the deployer's terminal sends do not reach it.
// It gets the spec through a pipe, since that holds secrets, and inherits the lock.
func (d *Deployer) supervise(s spec, lock *os.File) (*exec.Cmd, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Logs, 0o700); err != nil {
		return nil, err
	}
	log := unitlog.NewFile(filepath.Join(s.Logs, "supervisor.log"))
	if err := log.Open(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	command := exec.Command(d.config.Supervisor[0], d.config.Supervisor[1:]...)
	command.Stdin = bytes.NewReader(text)
	command.Stderr = log.Output()
	command.Env = baseEnvironment()
	command.ExtraFiles = []*os.File{lock} // descriptor 3: lockDescriptor
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	return command, nil
}

// collect removes what a dead group left, counts its failure and tells the operator. Of several who try, one does.
func (d *Deployer) collect(g group) {
	if lock, err := g.openLock(); err == nil {
		defer lock.Close()
		if !seize(lock) {
			return // alive, or another collects it
		}
		if _, err := os.Lstat(g.file(fileRecord)); err == nil {
			d.account(g)
		}
	}
	os.RemoveAll(g.dir)
}

// seize takes the lock of a dead group. Somebody who asks whether it is alive may have it for a moment.
func seize(lock *os.File) bool {
	for range 20 {
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// account is called once for each group that did not end as it should, after its end.
func (d *Deployer) account(g group) {
	var r supervisorRecord
	_ = readJSON(g.file(fileSupervisor), &r) // killed before it wrote any: the group's name still finds its processes
	e := readEnding(g)
	if e.Reason == reasonKilled && !sweep(g.id(), r) {
		d.config.Logger.Error("processes are left behind", "server", g.Key.Server, "instance", g.id(), "session", r.PID)
	}
	if e.Reason == reasonStopped {
		d.config.Logger.Info("stopped", "server", g.Key.Server, "owner", g.Key.Owner, "instance", g.id(), "lines", e.Lines)
		return
	}
	d.backoff.Fail(g.Key, g.Started, e.At)
	d.config.Logger.Error("instance ended", "server", g.Key.Server, "owner", g.Key.Owner, "instance", g.id(),
		"reason", e.Reason, "unit", e.Unit, "status", e.Status, "lines", e.Lines)
}
