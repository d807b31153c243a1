package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/awsenv/awsenvtest"
	"mcpgateway/localstack/lambda"
)

// startFront runs the gateway as a function at the system's address.
func (s *system) startFront(c lambda.Config) {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = log.Close() })
	c.Address, c.Function.Name, c.Function.Program, c.Function.Log, c.Function.Memory = s.address, "gateway", filepath.Join(programs, "gateway"), log, 512
	if c.Function.Env == nil {
		c.Function.Env = map[string]string{"PLATFORM": filepath.Join(s.dir, "platform.yaml")}
	}
	if c.Function.Timeout == 0 {
		c.Function.Timeout = time.Minute
	}
	if s.front, err = lambda.Start(context.Background(), c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) bill() lambda.Bill { return s.front.Bill()["gateway"] }

// Both fronts of AWS, from nothing at all: the call, the session, the stream, the refusal.
func TestFunction(t *testing.T) {
	for name, kind := range map[string]lambda.EventKind{"function URL": lambda.FunctionURL, "REST API": lambda.RESTAPI} {
		t.Run(name, func(t *testing.T) {
			s := startAs(t, layout{front: &lambda.Config{Events: kind, RemapAuthenticate: true}})
			alice := s.token("alice", "sample", engineering)
			resp, body := s.call("sample", alice, "echo", `{"message":"hällo"}`)
			if resp.StatusCode != 200 || !strings.Contains(body, `"hällo"`) || !strings.Contains(resp.Header.Get("Server-Timing"), "wake") {
				t.Errorf("call: %d %s, %v", resp.StatusCode, body, resp.Header)
			}
			id := s.session("sample", alice)
			resp, body = s.do(s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":0.1},"_meta":{"progressToken":"p"}}}`, "Mcp-Session-Id", id))
			if resp.StatusCode != 200 || strings.Count(body, "notifications/progress") != 10 || !strings.Contains(body, "slept") {
				t.Errorf("stream: %d %s", resp.StatusCode, body)
			}
			resp, body = s.do(s.request("POST", "sample", "", initialize))
			if resp.StatusCode != 401 || resp.Header.Get("X-Amzn-Remapped-Www-Authenticate") == "" || !strings.Contains(body, `"jsonrpc":"2.0"`) {
				t.Errorf("no token: %d %s, %v", resp.StatusCode, body, resp.Header)
			}
			req, _ := http.NewRequest("GET", s.url+"/.well-known/oauth-protected-resource/mcp-connect/sample", nil)
			if resp, body = s.do(req); resp.StatusCode != 200 || !strings.Contains(body, s.main.URL) {
				t.Errorf("metadata: %d %s", resp.StatusCode, body)
			}
			if b := s.bill(); b.Failed > 0 || b.Instances != 1 {
				t.Errorf("bill: %v", b)
			}
		})
	}
}

// A server that dies in the middle of its answer breaks the client's stream off, and nothing else.
func TestFunctionUpstreamDies(t *testing.T) {
	s := startAs(t, layout{front: &lambda.Config{}})
	alice := s.token("alice", "sample", engineering)
	id := s.session("sample", alice)
	resp, err := http.DefaultTransport.RoundTrip(s.request("POST", "sample", alice, slowly(30), "Mcp-Session-Id", id))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "notifications/progress") {
	}
	shims := s.processes("shim")
	for _, pid := range shims {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for lines.Scan() {
	}
	// A process that dies closes its files one by one: a call could still connect, which nobody will ever answer.
	s.eventually("the shim is gone", 10*time.Second, func() bool {
		return !slices.ContainsFunc(shims, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
	if !errors.Is(lines.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", lines.Err())
	}
	if resp, body := s.call("sample", alice, "echo", `{"message":"again"}`); resp.StatusCode != 200 {
		t.Errorf("then: %d %s", resp.StatusCode, body)
	}
	if b := s.bill(); b.Failed != 1 || b.Instances != 1 {
		t.Errorf("bill: %v", b)
	}
}

// slowly is a call that takes some seconds and says how far it is.
func slowly(seconds int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":%d},"_meta":{"progressToken":"p"}}}`, seconds)
}

// What the function has no time for ends before the function is killed: a stream so that its client can take it up again, as often
// as it must, all else with an error.
func TestFunctionDeadline(t *testing.T) {
	t.Parallel()
	s := startAs(t, layout{front: &lambda.Config{Function: lambda.Function{Timeout: 5 * time.Second}}})
	alice := s.token("alice", "sample", engineering)
	id := s.session("sample", alice)
	named := regexp.MustCompile(`(?m)^id: (r1\.\S+)$`)
	resp, body := s.do(s.request("POST", "sample", alice, slowly(10), "Mcp-Session-Id", id))
	pieces, progress := 1, strings.Count(body, "notifications/progress")
	for ; strings.Contains(body, "\nretry: ") && pieces < 10; pieces++ {
		ids := named.FindAllStringSubmatch(body, -1)
		if len(ids) == 0 {
			break
		}
		resp, body = s.do(s.request("GET", "sample", alice, "", "Mcp-Session-Id", id, "Last-Event-ID", ids[len(ids)-1][1]))
		progress += strings.Count(body, "notifications/progress")
	}
	if resp.StatusCode != 200 || pieces < 3 || progress != 10 || strings.Count(body, `"id":5,"result":{`) != 1 {
		t.Errorf("after %d pieces with %d messages: %d %s", pieces, progress, resp.StatusCode, body)
	}
	if resp, body := s.call("sample", alice, "slow", `{"seconds":30}`); resp.StatusCode != 504 && !strings.Contains(body, `"error":{`) {
		t.Errorf("call: %d %s", resp.StatusCode, body)
	}
	if b := s.bill(); b.TimedOut != 0 || b.Failed != 0 {
		t.Errorf("bill: %v", b)
	}
}

// Nobody tells the function that its client left. A listener that is held ends by its budget all the same, and a call goes on.
func TestFunctionClientLeaves(t *testing.T) {
	t.Parallel()
	held := fmt.Sprintf("  - {id: held, listen: hold, runtime: {command: {exec: %s, args: [-addr, \"127.0.0.1:{port}\"], http: {}}}, scale: {idle: 1m}}\n",
		filepath.Join(programs, "sample-server"))
	s := startAs(t, layout{servers: held, policies: "  - {name: held, allow: {groups: [engineering]}, servers: [held]}\n",
		front: &lambda.Config{Function: lambda.Function{Timeout: 5 * time.Second}}})
	alice := s.token("alice", "held", engineering)
	ctx, leave := context.WithCancel(t.Context())
	resp, err := http.DefaultTransport.RoundTrip(s.request("GET", "held", alice, "").WithContext(ctx))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("listen: %v, %v", resp, err)
	}
	leave()
	_ = resp.Body.Close()
	s.eventually("its time is over", 10*time.Second, func() bool { // what runs is billed until now: then it grows no more
		before := s.bill().Billed
		time.Sleep(100 * time.Millisecond)
		return s.bill().Billed == before
	})
	if b := s.bill(); b.TimedOut != 0 || b.Failed != 0 || b.Billed > 5*time.Second || b.Billed < 2*time.Second || s.starts() != 0 {
		t.Errorf("bill: %v, %d starts", b, s.starts())
	}
}

// Frozen, and then called: connections to a group that is gone, and to one that has another address, fail no call.
func TestFunctionFrozen(t *testing.T) {
	t.Parallel()
	s := startAs(t, layout{front: &lambda.Config{}})
	alice := s.token("alice", "sample", engineering)
	for range 3 {
		if resp, body := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 200 {
			t.Fatalf("call: %d %s", resp.StatusCode, body)
		}
		s.eventually("the group is gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	}
	if b := s.bill(); b.Instances != 1 || b.Failed != 0 || s.starts() != 3 {
		t.Errorf("bill: %v, %d starts", b, s.starts())
	}
}

// A front that holds each chunk back until the next one delays no event until the next event.
func TestFunctionHeldBack(t *testing.T) {
	s := startAs(t, layout{front: &lambda.Config{LagOneChunk: true}})
	alice := s.token("alice", "sample", engineering)
	id := s.session("sample", alice)
	resp, err := http.DefaultTransport.RoundTrip(s.request("POST", "sample", alice, slowly(30), "Mcp-Session-Id", id))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), `"progress":1`) {
	}
	_ = resp.Body.Close()
	if took := time.Since(began); lines.Err() != nil || took > 2*time.Second { // the next comes after three
		t.Errorf("the first event came after %v, %v", took, lines.Err())
	}
}

// A hundred who listen to a server that sleeps wake nothing, and cost next to nothing.
func TestFunctionListeners(t *testing.T) {
	const listeners, polls = 100, 3
	s := startAs(t, layout{platform: "", front: &lambda.Config{}})
	alice := s.token("alice", "sample", engineering)
	if resp, _ := s.do(s.request("GET", "sample", alice, "")); resp.StatusCode != 200 {
		t.Fatalf("listen: %d", resp.StatusCode)
	}
	before, again := s.bill(), time.Duration(0)
	for i := range listeners * polls { // one after the other: what they cost does not depend on when they come
		again += s.poll(alice, i%2 == 0)
	}
	b := s.bill()
	perHour := float64(b.Billed-before.Billed) / float64(again) * 3600
	t.Logf("%.2f function-seconds for each listener and hour: %d polls cost %v, and came back after %v on average",
		perHour, listeners*polls, b.Billed-before.Billed, again/(listeners*polls))
	if b.Failed > 0 || s.starts() != 0 || perHour > 10 {
		t.Errorf("bill: %v, %d starts", b, s.starts())
	}
}

// Platform and catalog come from S3, and a mistake in them keeps the function from starting, with every line of it in its log.
func TestFunctionDocumentsInS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("documents"); err != nil {
		t.Fatal(err)
	}
	s3 := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(s3.Close)
	s := startAs(t, layout{front: &lambda.Config{Function: lambda.Function{
		Env: map[string]string{"PLATFORM": "s3://documents/prod/platform.yaml", "AWS_ENDPOINT_URL_S3": s3.URL,
			awsenv.Recording: awsenvtest.Recording(t, "gateway", "s3:GetObject")}}}})
	put := func(key, text string) {
		if _, err := backend.PutObject("documents", key, map[string]string{}, strings.NewReader(text), int64(len(text)), nil); err != nil {
			t.Fatal(err)
		}
	}
	put("prod/platform.yaml", "apiVersion: v2\n")
	alice := s.token("alice", "sample", engineering)
	if resp, _ := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 502 {
		t.Errorf("with mistakes: %d", resp.StatusCode)
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "gateway.log"))
	for _, want := range []string{"apiVersion must be v1", "publicURL is missing", "issuers: at least one"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("no %q in the log", want)
		}
	}
	platform, _ := os.ReadFile(filepath.Join(s.dir, "platform.yaml"))
	catalog, _ := os.ReadFile(filepath.Join(s.dir, "catalog.yaml"))
	put("prod/platform.yaml", string(platform)+"deployer: {socket: "+s.socket()+"}\n")
	put("prod/catalog.yaml", string(catalog))
	if resp, body := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Errorf("call: %d %s", resp.StatusCode, body)
	}
}

// Where the Runtime API goes away, between two events or in the middle of an answer, the process ends: Lambda starts another.
func TestFunctionWithoutRuntimeAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	event := fmt.Sprintf(`{"version":"2.0","rawPath":"/mcp-connect/sample","headers":{"host":%q,"authorization":"Bearer %s","content-type":"application/json","accept":"application/json, text/event-stream","mcp-session-id":%q},`+
		`"requestContext":{"http":{"method":"POST"}},"body":%q}`, s.address, s.token("alice", "sample", engineering), s.session("sample", s.token("alice", "sample", engineering)), slowly(60))
	for name, events := range map[string]int32{"between two": 0, "in an answer": 1} {
		t.Run(name, func(t *testing.T) {
			var given atomic.Int32
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && given.Add(1) <= events {
					w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
					w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
					_, _ = io.WriteString(w, event)
					return
				}
				if r.Method == http.MethodPost { // the answer: some of it is read
					_, _ = io.ReadFull(r.Body, make([]byte, 100))
				}
				if conn, _, err := w.(http.Hijacker).Hijack(); err == nil { // a handler that ends otherwise has the rest read
					_ = conn.Close()
				}
			}))
			defer api.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			gateway := exec.CommandContext(ctx, filepath.Join(programs, "gateway"))
			gateway.Env = []string{"PLATFORM=" + filepath.Join(s.dir, "platform.yaml"), "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://")}
			out, err := gateway.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || ctx.Err() != nil || given.Load() != 1 {
				t.Errorf("%v after %d questions: %s", err, given.Load(), out)
			}
		})
	}
}
