package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"mcpgateway/internal/deploy"
)

// Users are numbers, First to Last, of users that nothing else on this machine uses; groups of the same numbers go with
// them. The zero Users is none: servers run as the deployer does.
type Users struct{ First, Last uint32 }

// firstUser is the lowest number that may be given away: those below are the system's own (LSB 5.0, chapter 23, and the
// UID_MIN of login.defs(5)). The highest number means "unchanged" to setresuid(2), and the one below it to some file systems.
const (
	firstUser = 1000
	lastUser  = 1<<32 - 3
)

// ParseUsers reads FIRST-LAST; an empty text is none.
func ParseUsers(text string) (Users, error) {
	if text == "" {
		return Users{}, nil
	}
	first, last, _ := strings.Cut(text, "-")
	from, err := strconv.ParseUint(first, 10, 32)
	to, bad := strconv.ParseUint(last, 10, 32)
	if err != nil || bad != nil || from < firstUser || to < from || to > lastUser {
		return Users{}, fmt.Errorf("must be FIRST-LAST, two numbers of users from %d to %d", firstUser, lastUser)
	}
	return Users{First: uint32(from), Last: uint32(to)}, nil
}

// checkUsers refuses users where they would be no boundary, or could not be had.
func (c Config) checkUsers() error {
	switch {
	case c.Users == Users{}:
		return nil
	case runtime.GOOS != "linux":
		return errors.New("servers with users of their own are for Linux only")
	case os.Geteuid() != 0:
		return errors.New("servers with users of their own need a deployer that runs as root")
	}
	return errors.Join(openToOthers(c.State, 0), openToOthers(c.Shim, 0o005))
}

// openToOthers says what keeps other users from a path: a folder above it that they may not pass, or rights that it lacks.
func openToOthers(path string, rights fs.FileMode) error {
	path, err := filepath.EvalSymlinks(path)
	for ; err == nil; path, rights = filepath.Dir(path), 0o001 {
		var info fs.FileInfo
		if info, err = os.Stat(path); err == nil && info.Mode().Perm()&rights != rights {
			return fmt.Errorf("servers have users of their own, and %s is closed to them: chmod o+%s it", path, letters(rights))
		}
		if path == filepath.Dir(path) {
			break
		}
	}
	return err
}

func letters(rights fs.FileMode) string {
	return strings.ReplaceAll(rights.String()[7:], "-", "")
}

// users gives every instance's key a user, for ever: what one server left behind in a shared folder never becomes another's.
// The users are known by files, one for each, that hold its key. One deployer at a time may use them: its state's lock
// sees to that.
type users struct {
	config Config

	mu   sync.Mutex
	of   map[deploy.KeyID]uint32
	next uint32
}

func openUsers(c Config) (*users, error) {
	u := &users{config: c, of: map[deploy.KeyID]uint32{}, next: c.Users.First}
	if c.Users == (Users{}) {
		return u, nil
	}
	for folder, mode := range map[string]fs.FileMode{c.users(): 0o700, c.homes(): 0o711, c.packages(): 0o711} {
		if err := errors.Join(os.MkdirAll(folder, mode), os.Chmod(folder, mode)); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(c.users())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil || uint32(n) < c.Users.First || uint32(n) > c.Users.Last {
			continue
		}
		var key deploy.Key
		if readJSON(filepath.Join(c.users(), e.Name()), &key) == nil { // nobody gets the number of a broken one
			u.of[key.ID()] = uint32(n)
		}
		u.next = max(u.next, uint32(n)+1)
	}
	return u, nil
}

// assign returns the user of an instance's key; 0 where servers have none of their own. Its home is there then.
func (u *users) assign(key deploy.Key) (uint32, error) {
	if u.config.Users == (Users{}) {
		return 0, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n, ok := u.of[key.ID()]; ok {
		return n, u.makeHome(n)
	}
	for ; ; u.next++ {
		if u.next > u.config.Users.Last {
			return 0, fmt.Errorf("all users from %d to %d are given away: give the deployer more", u.config.Users.First, u.config.Users.Last)
		}
		if _, err := user.LookupId(strconv.FormatUint(uint64(u.next), 10)); err != nil {
			break // somebody who has a name is not ours
		}
	}
	n := u.next
	if err := writeJSON(filepath.Join(u.config.users(), strconv.FormatUint(uint64(n), 10)), key); err != nil {
		return 0, fmt.Errorf("remember user %d: %w", n, err)
	}
	u.of[key.ID()], u.next = n, n+1
	return n, u.makeHome(n)
}

// makeHome makes a user's folder in one that is ours, so that nothing in it is followed or changed by us later.
func (u *users) makeHome(n uint32) error {
	home := u.config.home(n)
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a home: %w", err)
	}
	if err := os.Lchown(home, int(n), int(n)); err != nil {
		return fmt.Errorf("make a home: %w", err)
	}
	return nil
}

// fits reports whether a group's server runs as the user that it would get now.
func (u *users) fits(g group) bool {
	if u.config.Users == (Users{}) {
		return g.User == 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n, ok := u.of[g.Key.ID()]
	return ok && n == g.User
}

func (c Config) users() string { return filepath.Join(c.State, "users") }
func (c Config) homes() string { return filepath.Join(c.State, "home") }
func (c Config) home(n uint32) string {
	return filepath.Join(c.homes(), strconv.FormatUint(uint64(n), 10))
}
