package process

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
)

// group is one instance: a supervisor with the units it runs, and the folder that says so. Nothing about a running
// instance is known to the deployer's memory alone, so that another deployer can take over at any time.
//
// The supervisor holds a lock on the folder's lock file for as long as it lives, however it ends: the lock, not a
// process id, says whether the group is alive.
type group struct {
	dir string
	record
}

// record is what the deployer writes once, before the start.
type record struct {
	Key      deploy.Key       `json:"key"`
	Hash     string           `json:"hash"`
	Ports    []int            `json:"ports,omitempty"`
	User     uint32           `json:"user,omitempty"`     // of its server, where that has one of its own
	Packages []deploy.Package `json:"packages,omitempty"` // what its units run, which must stay
	Started  time.Time        `json:"started"`
}

// The files of a group's folder.
const (
	fileLock       = "lock"
	fileRecord     = "instance.json"   // by the deployer
	fileReady      = "ready"           // by the deployer, empty: the shim was ready once
	fileSupervisor = "supervisor.json" // by the supervisor: process ids
	fileEnding     = "ending.json"     // by the supervisor: why it ended, where anybody should know
	socketShim     = "shim.sock"
)

// idLength is the length of a group's name: the key's hash and a random part.
const idLength = 10 + 1 + 8

// keyPrefix begins the name of every group of a key. It is short, since it is part of socket paths; whoever searches by
// it compares the key as well.
func keyPrefix(key deploy.Key) string {
	text, _ := json.Marshal(key.ID()) // three strings: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:5]) + "-"
}

// createGroup makes the folder of a new group, with its lock held. The caller closes the lock once the supervisor has
// inherited it.
func createGroup(instances string, r record) (group, *os.File, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	id := keyPrefix(r.Key) + hex.EncodeToString(random[:])
	// Under a name that nobody looks at until the lock is held, or the folder would look like a dead group's.
	hidden := filepath.Join(instances, "."+id)
	g := group{dir: filepath.Join(instances, id), record: r}
	if err := os.Mkdir(hidden, 0o700); err != nil {
		return g, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(hidden, fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = errors.Join(
			syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB),
			writeJSON(filepath.Join(hidden, fileRecord), r),
			os.Rename(hidden, g.dir))
	}
	if err != nil {
		lock.Close()
		os.RemoveAll(hidden)
		return g, nil, err
	}
	return g, lock, nil
}

func (g group) id() string           { return filepath.Base(g.dir) }
func (g group) file(n string) string { return filepath.Join(g.dir, n) }
func (g group) url() string          { return "unix://" + g.file(socketShim) }

func (g group) status() deploy.Status {
	return deploy.Status{Key: g.Key, ID: g.id(), Hash: g.Hash, Ready: g.wasReady()}
}

// alive reports whether the supervisor runs.
func (g group) alive() bool {
	lock, err := g.openLock()
	if err != nil {
		return false
	}
	defer lock.Close()
	return held(lock)
}

func (g group) openLock() (*os.File, error) { return os.OpenFile(g.file(fileLock), os.O_RDWR, 0) }

// held reports whether a supervisor holds the lock. It is tried as a shared one, so that those who ask do not take each
// other for a supervisor. It can be asked also when the file has been removed, as a supervisor does shortly before it
// ends: the answer turns to no only with the process.
func held(lock *os.File) bool {
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return errors.Is(err, syscall.EWOULDBLOCK)
	}
	_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) // closing does it too
	return false
}

// wasReady reports whether the group got as far as taking calls.
func (g group) wasReady() bool {
	_, err := os.Lstat(g.file(fileReady))
	return err == nil
}

// serves reports whether the shim takes calls. A shim that is about to go has removed its socket before.
func (g group) serves() bool {
	conn, err := net.DialTimeout("unix", g.file(socketShim), time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil && g.wasReady()
}

// listens reports whether the group's own processes listen on its ports, and nobody else.
func (g group) listens() bool {
	if len(g.Ports) == 0 {
		return true
	}
	var r supervisorRecord
	return readJSON(g.file(fileSupervisor), &r) == nil && holdListeners(r, g.Ports)
}

// leaving reports whether the group took calls and takes no more.
func (g group) leaving() bool {
	_, err := os.Lstat(g.file(socketShim))
	return errors.Is(err, fs.ErrNotExist) && g.wasReady()
}

// stopServing takes the shim's address away, so that nobody new comes in whatever the shim does.
func (g group) stopServing() { os.Remove(g.file(socketShim)) }

// supervisorRecord is what can be found of the processes after the supervisor was killed.
type supervisorRecord struct {
	PID    int            `json:"pid"` // and the session's id
	Boot   string         `json:"boot,omitempty"`
	Groups map[string]int `json:"groups,omitempty"` // process groups by unit
}

// signal sends a signal to the supervisor, and reports whether there was one. A supervisor that has just been started
// is waited for.
func (g group) signal(sig syscall.Signal) bool {
	var r supervisorRecord
	for range 100 {
		if err := readJSON(g.file(fileSupervisor), &r); err == nil || !g.alive() {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if r.PID <= 1 { // none was read; and never signal what such numbers stand for
		return false
	}
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }()
	// What was found is the supervisor if that still lives now, and not a process that got its number later.
	return g.alive() && p.Signal(sig) == nil
}

// ending says why a group ended. A group that ended as it should leaves none.
type ending struct {
	Reason string    `json:"reason"` // crashed | stopped
	Unit   string    `json:"unit,omitempty"`
	Status string    `json:"status,omitempty"` // "exit status 1"
	Lines  []string  `json:"lines,omitempty"`  // the last that the units wrote
	At     time.Time `json:"at"`
}

// The reasons.
const (
	reasonCrashed = "crashed" // a unit ended by itself
	reasonStopped = "stopped" // the deployer wanted it to end at once
	reasonKilled  = "killed"  // the supervisor left no word
)

func readEnding(g group) ending {
	var e ending
	if err := readJSON(g.file(fileEnding), &e); err != nil {
		return ending{Reason: reasonKilled, At: time.Now()}
	}
	return e
}

// groups returns those in a folder: of one key, or of all where key is nil. Dead ones are among them, and among all
// also what is left of folders whose record is gone or broken.
func groups(instances string, key *deploy.Key) ([]group, error) {
	entries, err := os.ReadDir(instances)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	var list []group
	for _, e := range entries {
		if e.Name()[0] == '.' || key != nil && !strings.HasPrefix(e.Name(), keyPrefix(*key)) {
			continue
		}
		g := group{dir: filepath.Join(instances, e.Name())}
		if err := readJSON(g.file(fileRecord), &g.record); err != nil {
			g.record = record{}
		}
		if key == nil || g.Key.ID() == key.ID() {
			list = append(list, g)
		}
	}
	return list, nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// writeJSON replaces a file as a whole, readable by its owner only.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, text)
}
