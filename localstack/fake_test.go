package localstack

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	function "github.com/aws/aws-lambda-go/lambda"

	"mcpgateway/internal/proxytest"
)

// The test binary is also every program that it runs: what it does goes by the name under which it was started.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "gateway":
		fakeGateway()
	case "deployer":
		fakeDeployer()
	case "oauth":
		go http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		obey(false)
	case "sessions":
		fakeSessions()
	case "audit":
		go http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		obey(false)
	case "mcpgateway":
		if err := Run(context.Background(), Config{State: os.Args[1], Port: atoi(os.Args[2]), Programs: filepath.Dir(os.Args[0]), withoutNode: true}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Setenv("GORACE", "atexit_sleep_ms=0") // or each program takes a second to end under the race detector
		os.Exit(runTests(m))
	}
}

// builds is a folder that all tests share.
var builds string

func runTests(m *testing.M) int {
	var err error
	if builds, err = os.MkdirTemp("", "localstack"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(builds)
	return m.Run()
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// fakeGateway is ready at once. FAKE_GATEWAY makes it a bad one.
func fakeGateway() {
	fmt.Fprintln(os.Stderr, "started as", os.Getpid())
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		function.Start(func(_ context.Context, event map[string]any) (*events.APIGatewayProxyStreamingResponse, error) {
			return &events.APIGatewayProxyStreamingResponse{StatusCode: 200, Headers: map[string]string{
				"WWW-Authenticate": "Bearer", "X-Event": fmt.Sprint(event["version"])}}, nil
		})
	}
	fmt.Println(`{"server":"playground"}`)
	if os.Getenv("FAKE_GATEWAY") == "broken" {
		fmt.Fprint(os.Stderr, "no such issuer")
		os.Exit(3)
	}
	go http.ListenAndServe(os.Getenv("LISTEN"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("FAKE_GATEWAY") == "never ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	obey(os.Getenv("FAKE_GATEWAY") == "stubborn")
}

func fakeDeployer() {
	fmt.Fprintln(os.Stderr, "started as", os.Getpid())
	socket := filepath.Join(filepath.Dir(os.Getenv("PLATFORM")), "deployer.sock")
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer l.Close()
	obey(false)
}

func fakeSessions() {
	l, err := net.Listen("unix", strings.TrimPrefix(os.Getenv("LISTEN"), "unix:"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer l.Close()
	obey(false)
}

// obey waits for SIGTERM. A stubborn program does not listen.
func obey(stubborn bool) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	for sig := range signals {
		fmt.Fprintln(os.Stderr, "got", sig)
		if !stubborn {
			return
		}
	}
}

// fakes makes a folder of the programs.
func fakes(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"gateway", "deployer", "shim", "oauth", "audit", "sessions", "mcpgateway"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// output is what a program prints, readable while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a system under test.
type running struct {
	Config
	out, log output
	stop     context.CancelFunc
	ended    chan error
}

// start runs the configuration until the test ends, with fake programs unless others are given.
func start(t *testing.T, c Config) *running {
	t.Helper()
	r := &running{Config: c, ended: make(chan error, 1)}
	r.withoutNode = true
	if r.State == "" {
		r.State = filepath.Join(t.TempDir(), "state")
	}
	if r.Programs == "" {
		r.Programs = fakes(t)
	}
	if r.Port == 0 {
		r.Port = freePorts(t)
	}
	r.Out, r.Log = &r.out, &r.log
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	go func() { r.ended <- Run(ctx, r.Config); close(r.ended) }()
	t.Cleanup(func() {
		r.stop()
		<-r.ended
		if t.Failed() {
			t.Logf("printed:\n%s\nlogged:\n%s", &r.out, &r.log)
		}
	})
	return r
}

// await waits until what was printed or logged holds the text.
func (r *running) await(t *testing.T, o *output, text string) {
	t.Helper()
	for range 600 {
		if strings.Contains(o.String(), text) {
			return
		}
		select {
		case err := <-r.ended:
			t.Fatalf("ended (%v) before %q", err, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("no %q", text)
}

// pids are those of a program's runs, from its log.
func (r *running) pids(name string) []int {
	var pids []int
	for line := range strings.Lines(r.log.String()) {
		if who, what, _ := strings.Cut(line, "|"); strings.TrimSpace(who) == name {
			if pid, ok := strings.CutPrefix(strings.TrimSpace(what), "started as "); ok {
				pids = append(pids, atoi(pid))
			}
		}
	}
	return pids
}

// freePorts finds free ports in a row, for gateway and issuers.
func freePorts(t *testing.T) int {
	t.Helper()
	port, err := proxytest.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// alive says whether a process runs. One that has ended stays in the table until its parent has looked, and the parent
// of an orphan may be one that never does.
func alive(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return syscall.Kill(pid, 0) == nil && !bytes.Contains(stat, []byte(") Z "))
}

func awaitGone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		for n := 0; alive(pid); n++ {
			if n > 200 {
				t.Errorf("process %d is left: %v", pid, syscall.Kill(pid, syscall.SIGKILL))
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
