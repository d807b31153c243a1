package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	runtime "github.com/aws/aws-lambda-go/lambda"
)

// TestMain makes the test's own binary the program of functions: one on aws-lambda-go, and a puppet, which does nothing
// but to report its environment, so that the test can play the runtime.
func TestMain(m *testing.M) {
	switch os.Getenv("TEST_PROGRAM") {
	case "handler":
		runtime.Start(handle)
	case "puppet":
		puppet()
	default:
		os.Exit(m.Run())
	}
}

// request has what is the same in both kinds of event, or in none.
type request struct {
	Path, RawPath         string
	QueryStringParameters map[string]string
}

// handle does what the path says. It streams, whatever invokes it.
func handle(ctx context.Context, event json.RawMessage) (*events.APIGatewayProxyStreamingResponse, error) {
	var r request
	if err := json.Unmarshal(event, &r); err != nil {
		return nil, err
	}
	answer := &events.APIGatewayProxyStreamingResponse{StatusCode: 200, Headers: map[string]string{"Content-Type": "text/plain"}}
	switch r.Path + r.RawPath {
	case "/event":
		answer.Body = bytes.NewReader(event)
	case "/pid":
		answer.Body = strings.NewReader(strconv.Itoa(os.Getpid()))
	case "/deadline":
		deadline, _ := ctx.Deadline()
		answer.Body = strings.NewReader(strconv.FormatInt(deadline.UnixMilli(), 10))
	case "/headers":
		answer.StatusCode = 401
		answer.Headers = map[string]string{"WWW-Authenticate": `Bearer resource_metadata="x"`, "Content-Length": "99", "Connection": "close"}
		answer.MultiValueHeaders = map[string][]string{"X-Many": {"a", "b"}}
		answer.Cookies = []string{"a=1; Secure", "b=2"}
	case "/gated": // each chunk when the test lets it
		answer.Body = gated(r.QueryStringParameters)
	case "/error":
		return nil, errors.New("told to fail")
	case "/panic":
		panic("told to")
	case "/exit":
		os.Exit(3)
	case "/injection":
		answer.Headers["X-Bad"] = "a\r\nX-Worse: b"
	case "/status":
		answer.StatusCode, _ = strconv.Atoi(r.QueryStringParameters["code"])
	case "/long":
		n, _ := strconv.Atoi(r.QueryStringParameters["bytes"])
		answer.Body = io.LimitReader(zeros{}, int64(n))
	}
	return answer, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// gated reads what the test's gate answers, one request for each chunk, until "end", "fail" or "exit".
func gated(query map[string]string) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		for n := 0; ; n++ {
			text, err := get(fmt.Sprintf("%s/%s/%d", os.Getenv("GATE"), query["name"], n))
			switch {
			case text == "end":
				writer.Close()
				return
			case text == "exit":
				os.Exit(3)
			case err != nil || text == "fail":
				writer.CloseWithError(errors.New("told to break off"))
				return
			}
			writer.Write([]byte(text))
		}
	}()
	return reader
}

func get(url string) (string, error) {
	res, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// puppet tells the test its environment, and ends when it is told to.
func puppet() {
	environment, _ := json.Marshal(os.Environ())
	fmt.Println("puppet", os.Getpid())
	res, err := http.Post(os.Getenv("GATE"), "application/json", bytes.NewReader(environment))
	if err == nil {
		io.Copy(io.Discard, res.Body)
	}
	os.Exit(3)
}

// gate is what programs ask, and the test answers.
type gate struct {
	*httptest.Server
	open chan string // the next answer to a handler
}

func newGate(t *testing.T) *gate {
	g := &gate{open: make(chan string)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case text := <-g.open:
			io.WriteString(w, text)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(g.CloseClientConnections)
	return g
}

// let gives the handler its next chunk.
func (g *gate) let(t *testing.T, text string) {
	t.Helper()
	select {
	case g.open <- text:
	case <-time.After(patience):
		t.Fatalf("nobody asked for %q", text)
	}
}

// patience is for what happens at once on a machine that is not busy.
const patience = 30 * time.Second

// transcript is a log that many may write.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// program is a function of the test's own binary. Its log is in the test's where it failed.
func program(t *testing.T, kind, name string) Function {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := &transcript{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, log)
		}
	})
	return Function{Name: name, Program: self, Env: map[string]string{"TEST_PROGRAM": kind}, Timeout: time.Minute, Log: log}
}

func start(t *testing.T, c Config) *Front {
	t.Helper()
	front, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	return front
}

// startHandler starts a function on aws-lambda-go.
func startHandler(t *testing.T, c Config) (*Front, *gate) {
	t.Helper()
	g := newGate(t)
	f := program(t, "handler", "handler")
	f.Env["GATE"] = g.URL
	f.Concurrency, f.Timeout = c.Function.Concurrency, max(c.Function.Timeout, f.Timeout)
	if c.Function.Timeout > 0 {
		f.Timeout = c.Function.Timeout
	}
	c.Function = f
	return start(t, c), g
}

// puppets are the processes of a function that the test plays the runtime of.
type puppets struct {
	*httptest.Server
	came chan *puppetProcess
}

type puppetProcess struct {
	env map[string]string
	let chan struct{} // closed to have it exit with status 3
}

// startPuppet starts a function whose runtime the test plays.
func startPuppet(t *testing.T, c Config) (*Front, *puppets) {
	t.Helper()
	p := &puppets{came: make(chan *puppetProcess, 10)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		process := &puppetProcess{env: map[string]string{}, let: make(chan struct{})}
		var list []string
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		for _, variable := range list {
			name, value, _ := strings.Cut(variable, "=")
			process.env[name] = value
		}
		p.came <- process
		select {
		case <-process.let:
		case <-r.Context().Done():
		}
	}))
	f := program(t, "puppet", "puppet")
	f.Env["GATE"] = p.URL
	f.Concurrency = c.Function.Concurrency
	if c.Function.Timeout > 0 {
		f.Timeout = c.Function.Timeout
	}
	c.Function = f
	front := start(t, c)
	t.Cleanup(p.CloseClientConnections)
	return front, p
}

// process is the next that starts.
func (p *puppets) process(t *testing.T) *puppetProcess {
	t.Helper()
	select {
	case process := <-p.came:
		return process
	case <-time.After(patience):
		t.Fatal("no process started")
		return nil
	}
}

// call calls the process's Runtime API.
func (p *puppetProcess) call(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	return do(t, method, "http://"+p.env["AWS_LAMBDA_RUNTIME_API"]+"/2018-06-01/runtime/"+path, body, header...)
}

// next takes an invocation.
func (p *puppetProcess) next(t *testing.T) (id string, res *http.Response, payload string) {
	t.Helper()
	res, payload = p.call(t, "GET", "invocation/next", "")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("next: %s %s", res.Status, payload)
	}
	return res.Header.Get("Lambda-Runtime-Aws-Request-Id"), res, payload
}

// respond answers with a prelude and a body, and asks for nothing more.
func (p *puppetProcess) respond(t *testing.T, id, answer string) {
	t.Helper()
	if res, text := p.call(t, "POST", "invocation/"+id+"/response", answer, "Content-Type", preludeType); res.StatusCode != http.StatusAccepted {
		t.Errorf("response: %s %s", res.Status, text)
	}
}

// result is what a client got.
type result struct {
	status int
	header http.Header
	body   string
	err    error // of a connection that was cut
}

// goGet has a client ask.
func goGet(t *testing.T, url string) <-chan result {
	t.Helper()
	results := make(chan result, 1)
	go func() {
		res, err := http.Get(url)
		if err != nil {
			results <- result{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		results <- result{res.StatusCode, res.Header, string(body), err}
	}()
	return results
}

func wait[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}
