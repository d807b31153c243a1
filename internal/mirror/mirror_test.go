package mirror

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucket is S3 with one bucket, which counts what is asked of it.
type bucket struct {
	t       *testing.T
	backend gofakes3.Backend
	url     string

	mu     sync.Mutex
	asked  []string // "key status"
	status int      // that everything is answered with; 0: what S3 would
	hold   chan struct{}
	held   chan struct{} // gets a word when a request is
}

func newBucket(t *testing.T) *bucket {
	b := &bucket{t: t, backend: s3mem.New(), held: make(chan struct{}, 100)}
	if err := b.backend.CreateBucket("docs"); err != nil {
		t.Fatal(err)
	}
	real := gofakes3.New(b.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		status, hold := b.status, b.hold
		b.mu.Unlock()
		if hold != nil {
			b.held <- struct{}{}
			select {
			case <-hold:
			case <-r.Context().Done():
				return
			}
		}
		answer := httptest.NewRecorder()
		if status != 0 {
			answer.Code = status
		} else {
			real.ServeHTTP(answer, r)
		}
		b.mu.Lock()
		b.asked = append(b.asked, strings.TrimPrefix(r.URL.Path, "/docs/")+" "+http.StatusText(answer.Code))
		b.mu.Unlock()
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bucket) put(key, text string) {
	b.t.Helper()
	if _, err := b.backend.PutObject("docs", key, map[string]string{}, strings.NewReader(text), int64(len(text)), nil); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bucket) set(status int, hold chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.hold = status, hold
}

// were returns what was asked since, sorted by no order but that of coming.
func (b *bucket) were() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// named reads a platform file that is a list of names.
func named(platform string) (files []string) {
	text, _ := os.ReadFile(platform)
	for name := range strings.FieldsSeq(string(text)) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(platform), name)
		}
		files = append(files, name)
	}
	return files
}

func (b *bucket) open(t *testing.T) (*Mirror, error) {
	m, err := Open(t.Context(), Config{Location: Location{"docs", "prod/platform.yaml"}, Named: named, Logger: slog.New(slog.DiscardHandler),
		AWS: aws.Config{Region: "eu-central-1", BaseEndpoint: &b.url, RetryMaxAttempts: 1, Credentials: aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"}, nil
			})}})
	if err == nil {
		t.Cleanup(func() { _ = m.Close() })
	}
	return m, err
}

// copied is what the copy holds, by name.
func copied(t *testing.T, m *Mirror) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(m.folder, func(file string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		name, _ := filepath.Rel(m.folder, file)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMirror(t *testing.T) {
	b := newBucket(t)
	outside := filepath.Join(t.TempDir(), "outside") // a file of the test's own: it is what a fault would remove
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	platform := "catalog.yaml keys/ca.pem none.yaml " + outside + " ../secret"
	b.put("prod/platform.yaml", platform)
	b.put("prod/catalog.yaml", "one")
	b.put("prod/keys/ca.pem", "")
	b.put("prod/other.yaml", "not named")
	b.put("secret", "not beside it")
	m, err := b.open(t)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"platform.yaml": platform, "catalog.yaml": "one", "keys/ca.pem": ""}
	if diff := cmp.Diff(want, copied(t, m)); diff != "" {
		t.Errorf("copy: %s", diff)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if asked := b.were(); len(asked) != 4 || asked[0] != "prod/platform.yaml OK" {
		t.Errorf("asked %q", asked)
	}
	for _, c := range []struct {
		what    string
		change  func()
		changed bool
		answers string
	}{
		{"nothing", func() {}, false, "Not Modified"},
		{"the catalog", func() { b.put("prod/catalog.yaml", "two"); want["catalog.yaml"] = "two" }, true, "prod/catalog.yaml OK"},
		{"a file that is new", func() { b.put("prod/none.yaml", "x"); want["none.yaml"] = "x" }, true, "prod/none.yaml OK"},
		{"a file that is gone", func() { _, _ = b.backend.DeleteObject("docs", "prod/none.yaml"); delete(want, "none.yaml") }, true, "prod/none.yaml Not Found"},
		{"which files", func() {
			b.put("prod/platform.yaml", "other.yaml")
			want["platform.yaml"], want["other.yaml"] = "other.yaml", "not named"
		}, true, "prod/other.yaml OK"},
	} {
		c.change()
		changed, err := m.refresh(t.Context())
		if diff := cmp.Diff(want, copied(t, m)); diff != "" || changed != c.changed || err != nil {
			t.Errorf("%s: changed %v, %v, %s", c.what, changed, err, diff)
		}
		if asked := strings.Join(b.were(), "\n"); !strings.Contains(asked, c.answers) {
			t.Errorf("%s: asked %s", c.what, asked)
		}
	}
}

// What cannot be asked for changes nothing, and keeps a gateway from starting.
func TestFailures(t *testing.T) {
	b := newBucket(t)
	b.put("prod/platform.yaml", "catalog.yaml")
	b.put("prod/catalog.yaml", "one")
	m, err := b.open(t)
	if err != nil {
		t.Fatal(err)
	}
	b.put("prod/platform.yaml", "catalog.yaml ")
	b.put("prod/catalog.yaml", strings.Repeat("x", maxObject+1))
	if changed, err := m.refresh(t.Context()); changed || err == nil || !strings.Contains(err.Error(), "more than 5 MiB") || copied(t, m)["platform.yaml"] != "catalog.yaml" {
		t.Errorf("too large: %v, %v", changed, err)
	}
	b.set(http.StatusInternalServerError, nil)
	if changed, err := m.refresh(t.Context()); changed || err == nil || copied(t, m)["catalog.yaml"] != "one" {
		t.Errorf("a failing S3: %v, %v", changed, err)
	}
	if _, err := b.open(t); err == nil || !strings.Contains(err.Error(), "s3://docs/prod/platform.yaml") {
		t.Errorf("opened: %v", err)
	}
	b.set(http.StatusForbidden, nil)
	if _, err := m.refresh(t.Context()); err != nil || len(copied(t, m)) != 0 {
		t.Errorf("rights that were taken back: %v, %v", err, copied(t, m))
	}
}

func TestParse(t *testing.T) {
	for at, want := range map[string]bool{"s3://b/k": true, "s3://b/a/k.yaml": true, "s3://b": false, "s3://b/": false, "s3:///k": false,
		"s3://b/a/": false, "s3://b/../k": false, "s3://b//k": false} {
		if _, is, err := Parse(at); !is || (err == nil) != want {
			t.Errorf("%s: %v, %v", at, is, err)
		}
	}
	if l, _, _ := Parse("s3://b/a/k"); l != (Location{"b", "a/k"}) {
		t.Errorf("parsed %+v", l)
	}
	if _, is, err := Parse("/etc/platform.yaml"); is || err != nil {
		t.Errorf("a path: %v, %v", is, err)
	}
}

// age has the copy have been looked at some time ago, by the clock on the wall.
func (m *Mirror) age(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checked, m.tried = now().Add(-d), now().Add(-d)
}

func TestKeep(t *testing.T) {
	b := newBucket(t)
	b.put("prod/platform.yaml", "one")
	m, err := b.open(t)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan struct{}, 10)
	m.Changed = func() { changes <- struct{}{} }
	b.were()
	m.Keep(t.Context())
	if asked := b.were(); len(asked) > 0 {
		t.Errorf("asked at once: %q", asked)
	}

	// Older than a while: it is looked into beside the request, which does not wait.
	hold := make(chan struct{})
	b.set(0, hold)
	b.put("prod/platform.yaml", "two")
	m.age(lookAfter)
	m.Keep(t.Context())
	select {
	case <-changes:
		t.Error("waited")
	default:
	}
	close(hold)
	<-changes

	// Frozen for long: the request goes by what is in force now.
	b.set(0, nil)
	b.put("prod/platform.yaml", "three")
	m.await()
	m.age(10 * time.Minute)
	m.Keep(t.Context())
	if got := copied(t, m)["platform.yaml"]; got != "three" || len(changes) != 1 {
		t.Errorf("after ten minutes: %q", got)
	}

	// Where S3 is away one request waits for that to be found out, and the next does not.
	b.set(http.StatusInternalServerError, nil)
	m.age(10 * time.Minute)
	b.were()
	m.Keep(t.Context())
	m.Keep(t.Context())
	if asked := b.were(); len(asked) != 2 { // the file, and the one that it names
		t.Errorf("asked %q", asked)
	}

	// A clock that was set back is no reason to look no more.
	b.set(0, nil)
	b.put("prod/platform.yaml", "four")
	m.age(-time.Hour)
	m.Keep(t.Context())
	if got := copied(t, m)["platform.yaml"]; got != "four" {
		t.Errorf("with a clock set back: %q", got)
	}
}

// A look from before the process was frozen ends in an error: another is made before the request goes on.
func TestFrozenInALook(t *testing.T) {
	b := newBucket(t)
	b.put("prod/platform.yaml", "one")
	m, err := b.open(t)
	if err != nil {
		t.Fatal(err)
	}
	m.Changed = func() {}
	hold := make(chan struct{})
	b.set(0, hold)
	m.age(10 * time.Minute)
	_, _ = m.begin()
	<-b.held
	b.mu.Lock()
	b.hold = nil // only the one under way hangs
	b.mu.Unlock()
	b.put("prod/platform.yaml", "two")
	m.mu.Lock()
	m.tried = now().Add(-10 * time.Minute) // when it began
	m.mu.Unlock()
	defer close(hold)
	m.Keep(t.Context())
	if got := copied(t, m)["platform.yaml"]; got != "two" {
		t.Errorf("the copy is %q", got)
	}
}

// await returns when no look is under way.
func (m *Mirror) await() {
	m.mu.Lock()
	flight := m.flight
	m.mu.Unlock()
	if flight != nil {
		<-flight
	}
}

func TestWhatIsRequired(t *testing.T) {
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("opened nothing")
	}
}
