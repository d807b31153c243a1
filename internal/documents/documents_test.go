package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
)

const platform = "apiVersion: v1\npublicURL: https://mcp.example.com\nissuers: [{url: \"https://login.example.com\", audiences: [\"{resource}\"], default: true}]\n"

// servers is a catalog with these ids.
func servers(ids ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nservers:\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "  - {id: %s, runtime: {command: {exec: x, http: {}}}}\n", id)
	}
	return b.String()
}

// desk is a keeper of files that the test writes.
type desk struct {
	*Keeper
	t        *testing.T
	dir      string
	log      bytes.Buffer
	accepted []string // the servers of each version, joined
	refuse   error
}

func newDesk(t *testing.T, files map[string]string) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	for name, text := range files {
		d.write(name, text)
	}
	d.open()
	return d
}

func (d *desk) open() {
	d.t.Helper()
	var err error
	if d.Keeper, err = Open(Config{filepath.Join(d.dir, "platform.yaml"), catalog.LeaveConditions, slog.New(slog.NewTextHandler(&d.log, nil))}); err != nil {
		d.t.Fatal(err)
	}
	d.Accept = func(v *Version) error {
		if d.refuse == nil {
			d.accepted = append(d.accepted, ids(v))
		}
		return d.refuse
	}
}

func ids(v *Version) string {
	var out []string
	for _, s := range v.Catalog.Servers {
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

// write replaces a file by another, as editors do.
func (d *desk) write(name, text string) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	for _, err := range []error{os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)} {
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// age makes the files look as if nobody had touched them for long.
func (d *desk) age(names ...string) {
	d.t.Helper()
	for _, name := range names {
		if err := os.Chtimes(filepath.Join(d.dir, name), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// expect looks twice, as often as a whole change takes, and compares what was accepted since.
func (d *desk) expect(want ...string) {
	d.t.Helper()
	d.accepted = nil
	d.look()
	d.look()
	if got := strings.Join(d.accepted, ", "); got != strings.Join(want, ", ") {
		d.t.Errorf("accepted %q, want %q\n%s", got, want, &d.log)
	}
}

func TestChangesAreTaken(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	if got := ids(d.Current()); got != "a" {
		t.Fatalf("at first %q", got)
	}
	d.expect()
	d.write("catalog.yaml", servers("a", "b"))
	d.expect("a b")
	d.expect()
	if got := ids(d.Current()); got != "a b" {
		t.Errorf("in force is %q", got)
	}
	// In place, with as many bytes, at the same time by the file system's clock.
	path := filepath.Join(d.dir, "catalog.yaml")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(servers("a", "c")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, before.ModTime()); err != nil {
		t.Fatal(err)
	}
	d.expect("a c")
	d.age("catalog.yaml", "platform.yaml")
	d.expect() // touched, and nothing else
	d.write("platform.yaml", strings.Replace(platform, "mcp.", "gateway.", 1))
	d.expect("a c")
	if got := d.Current().Platform.PublicURL; got != "https://gateway.example.com" {
		t.Errorf("the platform is that of %s", got)
	}
}

// A file that nobody touched is not read again and again.
func TestSettledFilesAreNotRead(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	d.age("platform.yaml", "catalog.yaml")
	d.expect()
	if !d.settled {
		t.Error("what is old and was read is still read at each look")
	}
	d.write("catalog.yaml", servers("b"))
	d.expect("b")
	if d.settled {
		t.Error("what was just written is taken for settled")
	}
}

func TestFolder(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform + "catalog: servers\n", "servers/a.yaml": servers("a")})
	d.write("servers/b.yaml", servers("b"))
	d.expect("a b")
	if err := os.Remove(filepath.Join(d.dir, "servers/a.yaml")); err != nil {
		t.Fatal(err)
	}
	d.expect("b")
	if err := syscall.Mkfifo(filepath.Join(d.dir, "servers/pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.expect() // and does not wait for a writer
	if err := os.Remove(filepath.Join(d.dir, "servers/pipe.yaml")); err != nil {
		t.Fatal(err)
	}
	d.write("servers/c.yaml", servers("c"))
	d.expect("b c")
}

// Kubernetes swaps the link ..data to a folder with the new files; their names in the mount never change.
func TestConfigMap(t *testing.T) {
	for _, catalog := range []string{"catalog.yaml", "."} {
		t.Run(catalog, func(t *testing.T) {
			d := &desk{t: t, dir: t.TempDir()}
			at := func(name string) string { return filepath.Join(d.dir, name) }
			swap := func(version string, ids ...string) {
				d.write("..v"+version+"/catalog.yaml", servers(ids...))
				for _, err := range []error{os.Symlink("..v"+version, at("..data_tmp")), os.Rename(at("..data_tmp"), at("..data"))} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			swap("1", "a")
			if err := os.Symlink("..data/catalog.yaml", at("catalog.yaml")); err != nil {
				t.Fatal(err)
			}
			// The platform in a folder of its own, since a catalog folder must hold catalogs only.
			if err := os.Mkdir(at("mount"), 0o700); err != nil {
				t.Fatal(err)
			}
			d.write("platform.yaml", platform+"catalog: mount/"+catalog+"\n")
			for _, err := range []error{os.Symlink("../..data/catalog.yaml", at("mount/catalog.yaml")), os.Symlink("../..data", at("mount/..data"))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			d.open()
			d.age("platform.yaml", "..v1/catalog.yaml")
			d.expect()
			swap("2", "a", "b")
			d.age("..v2/catalog.yaml")
			d.expect("a b")
			if err := os.RemoveAll(at("..v1")); err != nil {
				t.Fatal(err)
			}
			d.expect()
			swap("3", "c")
			d.age("..v3/catalog.yaml")
			d.expect("c")
		})
	}
}

// What is seen half written is never put in force, and not called a mistake either.
func TestHalfWritten(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	whole := servers("a", "b", "c")
	for n := len(whole) / 3; n < len(whole); n += 7 {
		d.write("catalog.yaml", whole[:n])
		d.look()
	}
	d.write("catalog.yaml", whole)
	d.expect("a b c")
	if strings.Contains(d.log.String(), "ERROR") {
		t.Errorf("a half file is called a mistake:\n%s", &d.log)
	}
	// Asked to look at once in the middle, it takes what is there, and the rest at the next looks.
	d.write("catalog.yaml", servers("a"))
	d.Look()
	if got := ids(d.Current()); got != "a" {
		t.Errorf("asked to look at once: %q", got)
	}
	d.write("catalog.yaml", whole)
	d.expect("a b c")
}

func TestMistakesKeepTheOldVersion(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	for _, c := range []struct{ file, text, says string }{
		{"catalog.yaml", servers("a", "a"), "catalog.yaml:4: server \\\"a\\\" is defined already"},
		{"catalog.yaml", servers("a") + "x: 1\n", "catalog.yaml:4: unknown field \\\"x\\\""},
		{"catalog.yaml", "", "catalog.yaml: the file is empty"},
		{"platform.yaml", "apiVersion: v2\n", "platform.yaml:1: apiVersion must be v1"},
	} {
		good, err := os.ReadFile(filepath.Join(d.dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		d.log.Reset()
		d.write(c.file, c.text)
		for range 5 {
			d.expect()
		}
		if n := strings.Count(d.log.String(), "the old version stays in force"); n != 1 || !strings.Contains(d.log.String(), c.says) {
			t.Errorf("%q is logged %d times, or without %s:\n%s", c.text, n, c.says, &d.log)
		}
		if got := ids(d.Current()); got != "a" {
			t.Errorf("in force is %q", got)
		}
		d.write(c.file, string(good))
		d.expect("a")
	}
	if err := os.Remove(filepath.Join(d.dir, "catalog.yaml")); err != nil {
		t.Fatal(err)
	}
	d.expect()
	d.write("catalog.yaml", servers("b"))
	d.expect("b")
}

func TestManyMistakesAreCut(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	d.write("catalog.yaml", servers("a")+strings.Repeat("x: 1\n", 60))
	d.expect()
	if !strings.Contains(d.log.String(), "and 10 more") || strings.Contains(d.log.String(), "catalog.yaml:54:") {
		t.Errorf("60 mistakes are logged as\n%s", &d.log)
	}
}

// A mistake in the catalog that the platform names now is mended there.
func TestAnotherCatalog(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a"), "other.yaml": "x: 1\n"})
	d.write("platform.yaml", platform+"catalog: other.yaml\n")
	d.expect()
	d.expect()
	if n := strings.Count(d.log.String(), "stays in force"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &d.log)
	}
	d.write("other.yaml", servers("b"))
	d.expect("b")
	d.write("catalog.yaml", servers("c"))
	d.expect()
}

func TestVersionThatIsNotAccepted(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	d.refuse = errors.New("not this one")
	d.write("catalog.yaml", servers("b"))
	d.expect()
	if got := ids(d.Current()); got != "a" || !strings.Contains(d.log.String(), "not this one") {
		t.Errorf("in force is %q\n%s", got, &d.log)
	}
}

func TestWhatIsKept(t *testing.T) {
	d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
	verifier := d.Current().Verifier
	d.write("catalog.yaml", servers("b"))
	d.expect("b")
	if d.Current().Verifier != verifier {
		t.Error("the issuers' keys are forgotten though the issuers are the same")
	}
	d.write("platform.yaml", strings.Replace(platform, "login.", "other.", 1))
	d.expect("b")
	if d.Current().Verifier == verifier {
		t.Error("the verifier is of other issuers")
	}
	if strings.Contains(d.log.String(), "restart") {
		t.Errorf("a restart is asked for:\n%s", &d.log)
	}
	d.write("platform.yaml", platform+"deployer: {state: elsewhere}\n")
	d.expect("b")
	if !strings.Contains(d.log.String(), "deployer section needs a restart") {
		t.Errorf("no word on the deployer section:\n%s", &d.log)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{"": "PLATFORM is not set", dir + "/none.yaml": "none.yaml: read: no such file"} {
		if _, err := Open(Config{path, catalog.LeaveConditions, slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestWatch(t *testing.T) {
	for name, every := range map[string]time.Duration{"by looking": time.Millisecond, "when told": time.Hour} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, map[string]string{"platform.yaml": platform, "catalog.yaml": servers("a")})
			took := make(chan string, 10)
			d.Accept = func(v *Version) error { took <- ids(v); return nil }
			ctx, stop := context.WithCancel(t.Context())
			now, ended := make(chan os.Signal), make(chan struct{})
			go func() { d.Watch(ctx, every, now); close(ended) }()
			d.write("catalog.yaml", servers("b"))
			if every == time.Hour {
				now <- syscall.SIGHUP
			}
			if got := <-took; got != "b" {
				t.Errorf("took %q", got)
			}
			stop()
			<-ended
		})
	}
}
