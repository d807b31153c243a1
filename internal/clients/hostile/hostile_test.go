package hostile

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
)

// The catalog must be one that the gateway takes, and each of the bad ones one that it does not, for the reason that the
// rows wait for.
func TestCatalog(t *testing.T) {
	platform := &catalog.Platform{PublicURL: "http://127.0.0.1:1",
		Issuers: []identity.Issuer{{URL: "http://127.0.0.1:2", Audiences: []string{"{resource}"}, Default: true}}}
	load := func(more string) (*catalog.Catalog, error) {
		path := filepath.Join(t.TempDir(), "catalog.yaml")
		if err := os.WriteFile(path, []byte(catalogText(`/opt/a "b"/clients`, "/tmp/x", more)), 0o600); err != nil {
			t.Fatal(err)
		}
		return catalog.LoadCatalog(path, platform, nil)
	}
	good, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{serverBystander, serverExits, serverPackage, serverCrowd} {
		if _, ok := good.Server(id); !ok {
			t.Errorf("%s is missing", id)
		}
	}
	for _, bad := range mistakes {
		if _, err := load(bad.entry); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want %q", bad.what, err, bad.says)
		}
	}
}

func TestRead(t *testing.T) {
	response := func(kind, body string) *http.Response {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
	}
	broken := io.NopCloser(io.MultiReader(strings.NewReader("data: {\"id\":1}\n\n"), failing{}))
	for _, c := range []struct {
		name     string
		response *http.Response
		messages int
		whole    bool
		last     string
	}{
		{"JSON", response("application/json", `{"id":1,"result":{"content":[{"text":"x"}]}}`), 1, true, "x"},
		{"nothing", response("", ""), 0, true, ""},
		{"no JSON", response("application/json", "<html>"), 0, false, ""},
		{"stream", response("text/event-stream", ": a\n\ndata: {\"method\":\"m\"}\n\ndata: {\"id\":1,\"result\":{\"content\":[{\"text\":\"y\"}]}}\n\n"), 2, true, "y"},
		{"no JSON in a stream", response("text/event-stream", "data: {\"id\":1}\n\ndata: x\n\n"), 1, false, ""},
		{"a stream that breaks off", &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: broken}, 1, false, ""},
	} {
		got := read(c.response, time.Now())
		if len(got.messages) != c.messages || (got.cut == nil) != c.whole || got.last().text() != c.last {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestCheck(t *testing.T) {
	result := func(text string) answer {
		return read(&http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"result":{"content":[{"text":"` + text + `"}]}}`))}, time.Now())
	}
	failure := read(&http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":{"code":-32000,"message":"come back"}}`))}, time.Now())
	late := result("x")
	late.took = time.Minute
	cut := result("x")
	cut.cut = io.ErrUnexpectedEOF
	for _, c := range []struct {
		name string
		got  answer
		want want
		ok   bool
	}{
		{"as it must be", result("x"), want{status: 200, result: "x", within: atOnce}, true},
		{"another result", result("y"), want{status: 200, result: "x", within: atOnce}, false},
		{"late", late, want{status: 200, result: "x", within: atOnce}, false},
		{"cut off", cut, want{status: 200, result: "x", within: atOnce}, false},
		{"the error", failure, want{status: 503, code: -32000, says: "come", within: atOnce}, true},
		{"another code", failure, want{status: 503, code: -32001, says: "come", within: atOnce}, false},
		{"another status", failure, want{status: 502, code: -32000, says: "come", within: atOnce}, false},
		{"another message", failure, want{status: 503, code: -32000, says: "go", within: atOnce}, false},
		{"an error in place of a result", failure, want{status: 503, within: atOnce}, false},
		{"no Retry-After", failure, want{status: 503, code: -32000, retry: true, within: atOnce}, false},
	} {
		a := &attempt{}
		a.expect("call", c.got, c.want)
		if (len(a.row.Wrong) == 0) != c.ok || len(a.row.Saw) != 1 {
			t.Errorf("%s: %+v", c.name, a.row)
		}
	}
}

func TestBystander(t *testing.T) {
	began := time.Now()
	b := &bystander{calls: []served{
		{began: began.Add(-time.Minute), took: 30 * time.Second, err: errors.New("before")},
		{began: began.Add(-time.Second), took: 2 * time.Second},
		{began: began.Add(time.Second), took: time.Second},
	}}
	next := make(chan struct{})
	go func() {
		defer close(next)
		for range 3 { // whoever waits for the next call sees one of them
			time.Sleep(bystanderPause)
			b.mu.Lock()
			b.calls = append(b.calls, served{began: time.Now(), err: errors.New("after")})
			b.mu.Unlock()
		}
	}()
	slowest, err := b.since(t.Context(), began)
	if slowest != 2*time.Second || err == nil || err.Error() != "after" {
		t.Errorf("since = %v, %v", slowest, err)
	}
	<-next
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	rows := []Row{
		{Input: "forks", Way: "near", Saw: []string{"one", "two"}, Took: 1500 * time.Millisecond, Others: 20 * time.Millisecond},
		{Input: "floods", Way: "far", Wrong: []string{"this", "that"}},
	}
	if failed := Print(&b, rows); failed != 1 {
		t.Errorf("%d failed, want 1", failed)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"forks near 1.5 s 20 ms ok one; two", "floods far 0.0 s 0 ms FAIL", "floods: far: this", "floods: far: that"} {
		if !strings.Contains(text, want) {
			t.Errorf("table lacks %q:\n%s", want, &b)
		}
	}
}

func TestMatching(t *testing.T) {
	for pattern, want := range map[string]bool{"": true, "^forks: ": true, "10,000": true, "npx": true, "sample sdk": false} {
		if got := Matching(regexp.MustCompile(pattern)); got != want {
			t.Errorf("Matching(%q) = %v", pattern, got)
		}
	}
}

// What is looked for by its environment and its name must be found where it is there.
func TestProcesses(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("processes are found by /proc")
	}
	r := &rig{dir: t.TempDir()}
	if got := r.processes(); len(got) != 0 {
		t.Errorf("found %v before there was one", got)
	}
	cmd := exec.Command("/bin/sleep", "600")
	cmd.Env = []string{marker + "=" + r.dir}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &attempt{rig: r}
	a.until(t.Context(), "it is not found", func() bool { return len(r.running("/bin/sleep")) == 1 }) // it became it
	if got := r.processes(); len(got) != 1 || got[0].pid != cmd.Process.Pid || got[0].parent != os.Getpid() || !r.alive(cmd.Process.Pid) {
		t.Errorf("found %+v", got)
	}
	if megabytes, err := peak(cmd.Process.Pid); err != nil || megabytes > 64 {
		t.Errorf("peak = %d, %v", megabytes, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.until(t.Context(), "it is found, though only its parent waits for it", func() bool { return !r.alive(cmd.Process.Pid) })
	_ = cmd.Wait() // it was killed
	if len(a.row.Wrong) > 0 {
		t.Error(a.row.Wrong)
	}
}
