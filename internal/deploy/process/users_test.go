package process

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcpgateway/internal/deploy"
)

func TestParseUsers(t *testing.T) {
	for text, want := range map[string]Users{"": {}, "1000-1000": {1000, 1000}, "200000-265535": {200000, 265535}, "4294967000-4294967293": {4294967000, 4294967293}} {
		if got, err := ParseUsers(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0-10", "999-2000", "2000-1999", "2000", "-", "a-b", "2000-", "2000-3000-4000", " 2000-3000", "+2000-3000", "2000-4294967294", "2000-99999999999"} {
		if got, err := ParseUsers(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// usersIn are those of a state folder; they need root, which alone can give folders away.
func usersIn(t *testing.T, dir string, numbers Users) *users {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give users homes, and these tests do not run as root")
	}
	u, err := openUsers(Config{State: dir, Users: numbers})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsersAreGivenOnce(t *testing.T) {
	dir, three := t.TempDir(), Users{2000000000, 2000000002}
	u := usersIn(t, dir, three)
	mine := deploy.Key{Server: "a", Owner: &deploy.Owner{Issuer: "i", Subject: "s"}}
	for range 2 {
		for i, key := range []deploy.Key{{Server: "a"}, mine} {
			n, err := u.assign(key)
			if want := uint32(2000000000 + i); err != nil || n != want {
				t.Errorf("%v has %d, %v; want %d", key, n, err, want)
			}
			g := group{record: record{Key: key, User: n}}
			if other := (group{record: record{Key: key}}); !u.fits(g) || u.fits(other) {
				t.Errorf("fits: %v, and without a user %v", u.fits(g), u.fits(other))
			}
		}
		u = usersIn(t, dir, three) // another deployer
	}
	if err := os.WriteFile(filepath.Join(dir, "users", "2000000000"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	u = usersIn(t, dir, three)
	if n, err := u.assign(deploy.Key{Server: "a"}); err != nil || n != 2000000002 {
		t.Errorf("%d, %v: whose number was forgotten gets a new one", n, err)
	}
	if n, err := u.assign(deploy.Key{Server: "b"}); err == nil || !strings.Contains(err.Error(), "given away") {
		t.Errorf("a fourth: %d, %v", n, err)
	}
	u = usersIn(t, dir, Users{2000001000, 2000001000})
	if n, err := u.assign(mine); err != nil || n != 2000001000 {
		t.Errorf("another range: %d, %v", n, err)
	}
	if u = usersIn(t, dir, Users{}); u.fits(group{record: record{Key: mine, User: 2000000001}}) || !u.fits(group{}) {
		t.Error("without users, an instance with one fits, or one without does not")
	}
	if n, err := u.assign(mine); n != 0 || err != nil {
		t.Errorf("none: %d, %v", n, err)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var info syscall.Stat_t
	if err := syscall.Lstat(path, &info); err != nil {
		t.Fatal(err)
	}
	return info.Uid
}

// What a server did to its home is followed nowhere.
func TestHomesAreMadeSafely(t *testing.T) {
	dir := t.TempDir()
	u := usersIn(t, dir, Users{2000000000, 2000000000})
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, u.config.home(2000000000)); err != nil {
		t.Fatal(err)
	}
	_, _ = u.assign(deploy.Key{Server: "a"})
	if owner := ownerOf(t, target); owner != uint32(os.Geteuid()) {
		t.Errorf("a link's target was given to %d", owner)
	}
	if err := os.Remove(u.config.home(2000000000)); err != nil {
		t.Fatal(err)
	}
	if _, err := u.assign(deploy.Key{Server: "a"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(u.config.home(2000000000))
	if err != nil || info.Mode() != os.ModeDir|0o700 || ownerOf(t, u.config.home(2000000000)) != 2000000000 {
		t.Errorf("the home: %v, %v", info, err)
	}
	for path, want := range map[string]os.FileMode{u.config.homes(): 0o711, u.config.users(): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestOpenToOthers(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "a", "b", "program")
	if err := os.MkdirAll(filepath.Dir(program), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{filepath.Join(dir, "a"), 0o700, filepath.Join(dir, "a") + " is closed to them: chmod o+x it"},
		{filepath.Join(dir, "a"), 0o710, "chmod o+x it"},
		{program, 0o750, program + " is closed to them: chmod o+rx it"},
		{program, 0o711, "chmod o+rx it"},
		{program, 0o755, ""},
	} {
		info, err := os.Stat(c.path)
		if err == nil {
			err = os.Chmod(c.path, c.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{program, link} {
			// The folder of tests may itself be closed to others: what is said of those above it does not count here.
			err := openToOthers(path, 0o005)
			if c.want == "" && err != nil && strings.Contains(err.Error(), dir+"/") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s with mode %v: %v, want %q", c.path, c.mode, err, c.want)
			}
		}
		if err := os.Chmod(c.path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := openToOthers(filepath.Join(dir, "none"), 0o001); err == nil {
		t.Error("what is not there is open")
	}
}
