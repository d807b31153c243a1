package localstack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds the real programs, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var built = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(builds, "bin")
	for name, pkg := range map[string]string{
		"mcpgateway":    "mcpgateway/cmd/mcpgateway",
		"gateway":       "mcpgateway/functions/gateway",
		"deployer":      "mcpgateway/functions/deployer",
		"oauth":         "mcpgateway/functions/oauth",
		"sessions":      "mcpgateway/functions/sessions",
		"audit":         "mcpgateway/functions/audit",
		"shim":          "mcpgateway/shim",
		"sample-server": "mcpgateway/localstack/sample",
	} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return dir, nil
})

// shortDir makes a folder with a short path, as Unix sockets need.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestNothingIsLeft ends mcpgateway run in every way while servers are awake, and one is busy with a long call.
func TestNothingIsLeft(t *testing.T) {
	programs := build(t)
	for _, tc := range []struct {
		name    string
		signals []os.Signal
		within  time.Duration
	}{
		{"asked", []os.Signal{syscall.SIGTERM}, 30 * time.Second},
		{"asked twice", []os.Signal{os.Interrupt, os.Interrupt}, 8 * time.Second},
		{"killed", []os.Signal{os.Kill}, 15 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.signals[0] == os.Kill && runtime.GOOS != "linux" {
				t.Skip("only Linux ends children with their parent")
			}
			t.Parallel()
			r, cmd := busy(t, programs)
			began := time.Now()
			for _, sig := range tc.signals {
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				time.Sleep(200 * time.Millisecond) // two in one moment are one
			}
			if err := <-r.ended; (err != nil) != (tc.signals[0] == os.Kill) {
				t.Errorf("ended with %v", err)
			}
			left := runningFrom(r.Programs)
			for len(left) > 0 && time.Since(began) < tc.within {
				time.Sleep(50 * time.Millisecond)
				left = runningFrom(r.Programs)
			}
			if took := time.Since(began); len(left) > 0 || took > tc.within {
				t.Errorf("after %v left: %v\n%s", took, left, &r.log)
			}
		})
	}
}

// busy runs mcpgateway run as its user does, wakes all servers, and makes a call that takes long.
func busy(t *testing.T, programs string) (*running, *exec.Cmd) {
	t.Helper()
	own := shortDir(t) // so that its processes can be told from others'
	if err := os.CopyFS(own, os.DirFS(programs)); err != nil {
		t.Fatal(err)
	}
	r := &running{Config: Config{Programs: own, Port: freePorts(t)}, ended: make(chan error, 1)}
	catalog := filepath.Join(own, "catalog.yaml")
	if err := os.WriteFile(catalog, makeSample(false, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(own, "mcpgateway"), "run", "--state", shortDir(t), "--port", fmt.Sprint(r.Port),
		"--catalog", catalog)
	cmd.Stdout, cmd.Stderr = &r.out, &r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- cmd.Wait() }()
	r.await(t, &r.out, "Cursor")
	for _, server := range []string{"playground", "workbench", "desk"} {
		if status, body := call(t, r, token(t, r, "alice", server), server, "echo"); status != http.StatusOK {
			t.Fatalf("got %d %s", status, body)
		}
	}
	slow := request(t, r, token(t, r, "alice", "playground"), "playground", "slow", `{"seconds":60}`)
	go func() {
		if resp, err := http.DefaultClient.Do(slow); err == nil {
			resp.Body.Close()
		}
	}()
	time.Sleep(300 * time.Millisecond) // until the server has it
	return r, cmd
}

// TestPrintedLinesWork runs the sample system as it is shipped, and pastes what it prints into a shell.
func TestPrintedLinesWork(t *testing.T) {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	r := start(t, Config{Programs: build(t), State: shortDir(t)})
	r.await(t, &r.out, "Cursor")
	printed := r.out.String()

	exports := strings.Join(regexp.MustCompile(`(?m)^  export .*$`).FindAllString(printed, -1), "\n")
	lines := regexp.MustCompile(`(?m)^  curl .*$`).FindAllString(printed, -1)
	if len(lines) != 4 {
		t.Fatalf("lines with curl: %q", lines)
	}
	paste := func(line string) string {
		t.Helper()
		out, err := exec.Command("sh", "-euc", exports+"\n"+line).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		return string(out)
	}
	desk := strings.TrimSpace(paste(lines[0]))
	if got := paste(lines[1]); !strings.Contains(got, `"text":"hello"`) {
		t.Errorf("the call gives %s", got)
	}
	if got := paste(lines[2]); !strings.Contains(got, `"serverInfo"`) {
		t.Errorf("the handshake gives %s", got)
	}
	if status, got := call(t, r, desk, "desk", "echo"); status != http.StatusOK || !strings.Contains(got, `"text":"hello"`) {
		t.Errorf("the other token gives %d %s", status, got)
	}
	testAccess(t, r)
	testRecords(t, r, func() string { return paste(lines[3]) })
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if left := runningFrom(r.Programs); left != nil {
		t.Errorf("left: %v", left)
	}
}

// testAccess goes through what the sample catalog is to show.
func testAccess(t *testing.T, r *running) {
	t.Helper()
	for _, tc := range []struct {
		user, server, tool string
		status             int
		want               string
	}{
		{"carol", "playground", "echo", 200, `"text":"hello"`},
		{"carol", "playground", "headers", 200, `"Not allowed`},
		{"alice", "playground", "headers", 200, `Mcp-Method`},
		{"alice", "workbench", "echo", 200, `"text":"hello"`},
		{"alice", "workbench", "slow", 200, `"Not allowed`},
		{"bob", "workbench", "echo", 403, ``},
		{"carol", "desk", "echo", 403, ``},
		{"alice", "nowhere", "echo", 403, ``},
	} {
		status, got := call(t, r, token(t, r, tc.user, tc.server), tc.server, tc.tool)
		if status != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%s, %s, %s: %d %s", tc.user, tc.server, tc.tool, status, got)
		}
		if strings.Contains(got, "eyJ") {
			t.Errorf("%s, %s, %s: the server got a token: %s", tc.user, tc.server, tc.tool, got)
		}
	}
}

// testRecords has an auditor find what was just called, and nobody else.
func testRecords(t *testing.T, r *running, find func() string) {
	t.Helper()
	late := time.Now().Add(10 * time.Second)
	found := find()
	for ; !strings.Contains(found, `"callIdentifier":"slow"`) && time.Now().Before(late); found = find() {
		time.Sleep(100 * time.Millisecond)
	}
	type record struct{ Server, Subject, CallIdentifier, Outcome string }
	var page struct{ Records []record }
	if err := json.Unmarshal([]byte(found), &page); err != nil {
		t.Fatalf("records: %v\n%s", err, found)
	}
	if !slices.Contains(page.Records, record{"workbench", "alice", "slow", "refused"}) {
		t.Errorf("no record of what alice may not: %s", found)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+local(r.Port+3)+"/audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tokenFor(t, r, "alice", "http://"+local(r.Port)))
	if status, body := do(t, req); status != http.StatusForbidden {
		t.Errorf("alice reads records: %d %s", status, body)
	}
}

func token(t *testing.T, r *running, user, server string) string {
	t.Helper()
	return tokenFor(t, r, user, "http://"+local(r.Port)+"/mcp-connect/"+server)
}

func tokenFor(t *testing.T, r *running, user, resource string) string {
	t.Helper()
	form := "grant_type=urn:mcpgateway:insecure-user&user=" + user + "&resource=" + resource
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+local(r.Port+2)+"/insecure-token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/plain")
	status, body := do(t, req)
	if status != http.StatusOK {
		t.Fatalf("token: %d %s", status, body)
	}
	return strings.TrimSpace(body)
}

// call calls a tool as a modern client and returns the answer.
func call(t *testing.T, r *running, token, server, tool string) (int, string) {
	t.Helper()
	return do(t, request(t, r, token, server, tool, `{"message":"hello","seconds":0}`))
}

func request(t *testing.T, r *running, token, server, tool, arguments string) *http.Request {
	t.Helper()
	e := example{"tools/call", "", fmt.Sprintf(`"name":%q,"arguments":%s,`, tool, arguments)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+local(r.Port)+"/mcp-connect/"+server, strings.NewReader(e.body()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {e.method}, "Mcp-Name": {tool},
	}
	return req
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// runningFrom lists the processes whose program is in dir.
func runningFrom(dir string) (left []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe") // none where there is no /proc
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir+"/") {
			left = append(left, link+" "+target)
		}
	}
	return left
}
