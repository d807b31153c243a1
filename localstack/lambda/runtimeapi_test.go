package lambda

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const okPrelude = `{"statusCode":200}` + "\x00\x00\x00\x00\x00\x00\x00\x00"

func TestEnvironment(t *testing.T) {
	t.Setenv("OF_THE_TEST", "x")
	front, programs := startPuppet(t, Config{})
	goGet(t, front.URL()+"/")
	env := programs.process(t).env
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_ENDPOINT_URL_LAMBDA", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_TASK_ROOT", "GATE"} {
		if env[name] == "" {
			t.Errorf("no %s", name)
		}
		delete(env, name)
	}
	if diff := cmp.Diff(map[string]string{
		"AWS_DEFAULT_REGION": "eu-central-1", "AWS_REGION": "eu-central-1",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_FUNCTION_NAME": "puppet", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/puppet",
		"LAMBDA_RUNTIME_DIR": "/var/runtime", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
		"TZ": ":UTC", "_HANDLER": "bootstrap", "TEST_PROGRAM": "puppet",
	}, env); diff != "" {
		t.Error(diff)
	}
}

func TestInvocationHeaders(t *testing.T) {
	front, programs := startPuppet(t, Config{Function: Function{Timeout: 40 * time.Second}})
	before := time.Now()
	answer := goGet(t, front.URL()+"/")
	p := programs.process(t)
	id, res, _ := p.next(t)
	ms, err := strconv.ParseInt(res.Header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
	if deadline := time.UnixMilli(ms + 1); err != nil || deadline.Before(before.Add(40*time.Second)) || deadline.After(time.Now().Add(41*time.Second)) {
		t.Errorf("deadline %v, %v", deadline, err)
	}
	if got := res.Header.Get("Lambda-Runtime-Invoked-Function-Arn"); got != "arn:aws:lambda:eu-central-1:123456789012:function:puppet" {
		t.Errorf("ARN %q", got)
	}
	if got := res.Header.Get("Lambda-Runtime-Trace-Id"); !strings.HasPrefix(got, "Root=1-") {
		t.Errorf("trace %q", got)
	}
	p.respond(t, id, okPrelude+"done")
	if got := wait(t, answer); got.status != 200 || got.body != "done" {
		t.Errorf("%+v", got)
	}
}

// What a runtime may not do is refused, and does not keep it from answering.
func TestRuntimeAPIRefuses(t *testing.T) {
	front, programs := startPuppet(t, Config{})
	answer := goGet(t, front.URL()+"/")
	p := programs.process(t)
	id, _, _ := p.next(t)
	large := strings.Repeat("x", maxPayload+1)
	for _, tc := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "invocation/next", "", http.StatusForbidden},
		{"POST", "invocation/other/response", "", http.StatusBadRequest},
		{"POST", "invocation/other/error", "{}", http.StatusBadRequest},
		{"POST", "invocation/" + id + "/error", large, http.StatusRequestEntityTooLarge},
		{"POST", "init/error", large, http.StatusRequestEntityTooLarge},
		{"GET", "invocation/" + id + "/response", "", http.StatusMethodNotAllowed},
		{"GET", "elsewhere", "", http.StatusNotFound},
	} {
		if res, text := p.call(t, tc.method, tc.path, tc.body); res.StatusCode != tc.status {
			t.Errorf("%s %s: %s %s", tc.method, tc.path, res.Status, text)
		}
	}
	p.respond(t, id, okPrelude)
	if got := wait(t, answer); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if res, _ := p.call(t, "POST", "invocation/"+id+"/response", okPrelude); res.StatusCode != http.StatusForbidden {
		t.Errorf("second answer: %s", res.Status)
	}
}

// What a function answers in a wrong way is a 502, and the instance goes on.
func TestWrongAnswers(t *testing.T) {
	front, programs := startPuppet(t, Config{})
	var p *puppetProcess
	for _, tc := range []struct{ path, body string }{
		{"response", ""},
		{"response", `{"statusCode":200}`},
		{"response", `{"statusCode":"200"}` + string(delimiter)},
		{"response", "[]" + string(delimiter)},
		{"response", `{"statusCode":103}` + string(delimiter)},
		{"response", `{"statusCode":600}` + string(delimiter)},
		{"response", `{"headers":{"a b":"x"}}` + string(delimiter)},
		{"response", `{"headers":{"a":"x\ny"}}` + string(delimiter)},
		{"response", `{"multiValueHeaders":{"a":["x","\u0000"]}}` + string(delimiter)},
		{"response", `{"cookies":["x\r\nSet-Cookie: y"]}` + string(delimiter)},
		{"response", strings.Repeat(" ", maxPrelude) + okPrelude},
		{"response", strings.Repeat(" ", 10*maxPrelude)},
		{"error", ""},
		{"error", `{"errorMessage":"x","errorType":"y"}`},
	} {
		answer := goGet(t, front.URL()+"/")
		if p == nil {
			p = programs.process(t)
		}
		id, _, _ := p.next(t)
		if res, text := p.call(t, "POST", "invocation/"+id+"/"+tc.path, tc.body, "Content-Type", preludeType); res.StatusCode != http.StatusAccepted {
			t.Errorf("%.40q: %s %s", tc.body, res.Status, text)
		}
		if got := wait(t, answer); got.status != http.StatusBadGateway || got.body != "Internal Server Error" || len(got.header["X-Amzn-Errortype"]) != 1 {
			t.Errorf("%.40q: %+v", tc.body, got)
		}
	}
	if b := front.Bill()["puppet"]; b.Failed != 14 || b.Instances != 1 {
		t.Errorf("bill: %v", b)
	}
}

// An answer without a prelude is a stream of bytes for a function URL; a REST API wants the prelude.
func TestNoPrelude(t *testing.T) {
	for kind, status := range map[EventKind]int{FunctionURL: 200, RESTAPI: 502} {
		front, programs := startPuppet(t, Config{Events: kind})
		answer := goGet(t, front.URL()+"/")
		p := programs.process(t)
		id, _, _ := p.next(t)
		p.call(t, "POST", "invocation/"+id+"/response", "plain", "Content-Type", "application/octet-stream")
		got := wait(t, answer)
		if got.status != status || (status == 200) != (got.body == "plain") {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
}

// An instance that cannot begin is started once more, in the time of the invocation.
func TestInitFails(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, p *puppetProcess){
		"exits":   func(_ *testing.T, p *puppetProcess) { close(p.let) },
		"reports": func(t *testing.T, p *puppetProcess) { p.call(t, "POST", "init/error", `{"errorType":"My.Error"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			front, programs := startPuppet(t, Config{Function: Function{Concurrency: 1}})
			answer := goGet(t, front.URL()+"/")
			fail(t, programs.process(t))
			p := programs.process(t)
			id, _, _ := p.next(t)
			p.respond(t, id, okPrelude+"in the end")
			if got := wait(t, answer); got.body != "in the end" {
				t.Errorf("%+v", got)
			}
			if b := front.Bill()["puppet"]; b.Instances != 2 || b.Failed != 0 || b.Invocations != 1 {
				t.Errorf("bill: %v", b)
			}
			close(p.let) // while it is idle: the next is a new one
			eventually(t, "its place is free", func() bool { return front.public.account().Instances == 2 && places(front) == 0 })
			answer = goGet(t, front.URL()+"/")
			fail(t, programs.process(t))
			fail(t, programs.process(t))
			if got := wait(t, answer); got.status != http.StatusBadGateway {
				t.Errorf("%+v", got)
			}
			if b := front.Bill()["puppet"]; b.Failed != 1 || b.Invocations != 2 || places(front) != 0 {
				t.Errorf("bill: %v", b)
			}
		})
	}
}

// places counts the instances that have a place.
func places(front *Front) int {
	front.public.mu.Lock()
	defer front.public.mu.Unlock()
	return len(front.public.instances)
}

// The init phase ends after its limit. The second start may take what the invocation may.
func TestInitTakesTooLong(t *testing.T) {
	front, programs := startPuppet(t, Config{Limits: Limits{Init: 50 * time.Millisecond}})
	answer := goGet(t, front.URL()+"/")
	eventually(t, "there is a second", func() bool { return front.Bill()["puppet"].Instances == 2 })
	time.Sleep(60 * time.Millisecond) // it may
	p := programs.process(t)
	if conn, err := net.Dial("tcp", p.env["AWS_LAMBDA_RUNTIME_API"]); err != nil {
		p = programs.process(t) // the first was quick enough to tell of itself
	} else {
		conn.Close()
	}
	id, _, _ := p.next(t)
	p.respond(t, id, okPrelude)
	if got := wait(t, answer); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if b := front.Bill()["puppet"]; b.Instances != 2 || b.Billed < 110*time.Millisecond {
		t.Errorf("bill: %v", b)
	}
}

// At the deadline the process is killed, and the next request has another.
func TestDeadline(t *testing.T) {
	front, programs := startPuppet(t, Config{Function: Function{Timeout: 300 * time.Millisecond}})
	answer := goGet(t, front.URL()+"/")
	programs.process(t).next(t)
	if got := wait(t, answer); got.status != http.StatusBadGateway {
		t.Errorf("%+v", got)
	}
	if b := front.Bill()["puppet"]; b.TimedOut != 1 || b.Failed != 1 || b.Billed < 300*time.Millisecond {
		t.Errorf("bill: %v", b)
	}
	if log := front.public.Log.(*transcript).String(); !strings.Contains(log, "Task timed out after 0.30 seconds") {
		t.Errorf("log: %s", log)
	}
	goGet(t, front.URL()+"/")
	programs.process(t)
}

// An invocation lasts until the next is asked for, whatever its client has got by then.
func TestLastsUntilNext(t *testing.T) {
	front, programs := startPuppet(t, Config{Function: Function{Timeout: 300 * time.Millisecond}})
	answer := goGet(t, front.URL()+"/")
	p := programs.process(t)
	id, _, _ := p.next(t)
	p.respond(t, id, okPrelude+"all")
	if got := wait(t, answer); got.err != nil || got.body != "all" {
		t.Errorf("%+v", got)
	}
	eventually(t, "the deadline", func() bool { return places(front) == 0 })
	if b := front.Bill()["puppet"]; b.TimedOut != 1 || b.Failed != 0 || b.Billed < 300*time.Millisecond {
		t.Errorf("bill: %v", b)
	}
}

// What a function prints is in its log by lines, also what has no end.
func TestLog(t *testing.T) {
	front, programs := startPuppet(t, Config{})
	goGet(t, front.URL()+"/")
	programs.process(t)
	log := front.public.Log.(*transcript)
	eventually(t, "the puppet's line", func() bool { return strings.HasPrefix(log.String(), "puppet ") })
	w := &lineWriter{f: front.public}
	for _, text := range []string{"a", "b\nc", strings.Repeat("d", maxLine), "\ne"} {
		w.Write([]byte(text))
	}
	w.close()
	if _, got, _ := strings.Cut(log.String(), "\n"); got != "ab\nc"+strings.Repeat("d", maxLine)+"\n\ne\n" {
		t.Errorf("log: %.100q", got)
	}
}
