package lambda

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func do(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// withoutChance replaces what differs from run to run, and shows that it is there.
func withoutChance(t *testing.T, text string, names ...string) string {
	t.Helper()
	for _, name := range names {
		pattern := regexp.MustCompile(`"` + name + `":("[^"]+"|\d+)`)
		if !pattern.MatchString(text) {
			t.Errorf("no %s in %s", name, text)
		}
		text = pattern.ReplaceAllString(text, `"`+name+`":"*"`)
	}
	return text
}

func TestURLEvent(t *testing.T) {
	front, _ := startHandler(t, Config{})
	_, text := do(t, "POST", front.URL()+"/event?a=1&a=2&b=%20", `{"x":"<&>"}`, "Content-Type", "application/json",
		"X-Two", "a", "X-Two", "b", "Cookie", "a=1; b=2", "Connection", "X-Secret", "X-Secret", "1", "X-Forwarded-For", "10.0.0.1")
	text = strings.ReplaceAll(text, strings.TrimPrefix(front.URL(), "http://"), "HOST")
	want := `{"version":"2.0","routeKey":"$default","rawPath":"/event","rawQueryString":"a=1&a=2&b=%20","cookies":["a=1","b=2"],` +
		`"headers":{"accept-encoding":"gzip","content-length":"11","content-type":"application/json","host":"HOST",` +
		`"user-agent":"Go-http-client/1.1","x-amzn-trace-id":"*","x-forwarded-for":"10.0.0.1, 127.0.0.1","x-forwarded-port":"443",` +
		`"x-forwarded-proto":"https","x-two":"a,b"},"queryStringParameters":{"a":"1,2","b":" "},` +
		`"requestContext":{"accountId":"anonymous","apiId":"localfront","domainName":"HOST","domainPrefix":"localfront",` +
		`"http":{"method":"POST","path":"/event","protocol":"HTTP/1.1","sourceIp":"127.0.0.1","userAgent":"Go-http-client/1.1"},` +
		`"requestId":"*","routeKey":"$default","stage":"$default","time":"*","timeEpoch":"*"},` +
		`"body":"{\"x\":\"<&>\"}","isBase64Encoded":false}`
	if diff := cmp.Diff(want, withoutChance(t, text, "requestId", "time", "timeEpoch", "x-amzn-trace-id")); diff != "" {
		t.Error(diff)
	}
}

// readLine reads one line of a stream.
func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// open begins a stream that the test's gate paces.
func open(t *testing.T, url string) (*bufio.Reader, func()) {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), 2*patience)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	t.Cleanup(func() { leave(); res.Body.Close() })
	return bufio.NewReader(res.Body), leave
}

func TestStreams(t *testing.T) {
	front, g := startHandler(t, Config{})
	body, _ := open(t, front.URL()+"/gated")
	for _, line := range []string{"one\n", "two\n"} {
		g.let(t, line)
		if got := readLine(t, body); got != line {
			t.Errorf("got %q, want %q", got, line)
		}
	}
	g.let(t, "end")
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("end: %q, %v", rest, err)
	}
}

// A stream that breaks off has no end, and the next request is served.
func TestBreaksOff(t *testing.T) {
	for _, how := range []string{"fail", "exit"} {
		front, g := startHandler(t, Config{})
		body, _ := open(t, front.URL()+"/gated")
		g.let(t, "one\n")
		readLine(t, body)
		g.let(t, how)
		if rest, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || len(rest) > 0 {
			t.Errorf("%s: %q, %v", how, rest, err)
		}
		if res, _ := do(t, "GET", front.URL()+"/pid", ""); res.StatusCode != http.StatusOK {
			t.Errorf("after %s: %s", how, res.Status)
		}
		if b := front.Bill()["handler"]; b.Failed != 1 {
			t.Errorf("%s: bill: %v", how, b)
		}
	}
}

// The deadline cuts a stream.
func TestDeadlineInStream(t *testing.T) {
	front, g := startHandler(t, Config{Function: Function{Timeout: time.Second}})
	body, _ := open(t, front.URL()+"/gated")
	g.let(t, "one\n")
	readLine(t, body)
	if rest, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", rest, err)
	}
	if b := front.Bill()["handler"]; b.TimedOut != 1 || b.Failed != 1 || b.Billed < time.Second {
		t.Errorf("bill: %v", b)
	}
}

// What ends without an answer is a 502 in the words of the front, and the function can be called again.
func TestEndsBeforeAnswer(t *testing.T) {
	for kind, want := range map[EventKind]string{FunctionURL: "Internal Server Error", RESTAPI: `{"message":"Internal server error"}`} {
		front, _ := startHandler(t, Config{Events: kind})
		for _, path := range []string{"/error", "/panic", "/exit", "/injection", "/status?code=199", "/status?code=600"} {
			if res, text := do(t, "GET", front.URL()+path, ""); res.StatusCode != http.StatusBadGateway || text != want {
				t.Errorf("%s: %s %q", path, res.Status, text)
			}
			if res, _ := do(t, "GET", front.URL()+"/pid", ""); res.StatusCode != http.StatusOK {
				t.Errorf("after %s: %s", path, res.Status)
			}
		}
		if b := front.Bill()["handler"]; b.Failed != 6 || b.Invocations != 12 {
			t.Errorf("bill: %v", b)
		}
	}
}

func TestAnswerHeaders(t *testing.T) {
	for _, remapped := range []bool{false, true} {
		front, _ := startHandler(t, Config{RemapAuthenticate: remapped})
		res, _ := do(t, "GET", front.URL()+"/headers", "")
		want := http.Header{"Set-Cookie": {"a=1; Secure", "b=2"}, "X-Many": {"a", "b"}, "Content-Type": {"application/octet-stream"}}
		name := "Www-Authenticate"
		if remapped {
			name = "X-Amzn-Remapped-Www-Authenticate"
		}
		want[name] = []string{`Bearer resource_metadata="x"`}
		res.Header.Del("Date")
		if diff := cmp.Diff(want, res.Header); diff != "" || res.StatusCode != http.StatusUnauthorized || res.ContentLength != -1 {
			t.Errorf("%s %d: %s", res.Status, res.ContentLength, diff)
		}
	}
	front, _ := startHandler(t, Config{})
	if res, _ := do(t, "GET", front.URL()+"/status?code=204", ""); res.StatusCode != http.StatusNoContent {
		t.Error(res.Status)
	}
}

// Over the limit is a 429 at once; a place that is free again is used again.
func TestConcurrency(t *testing.T) {
	front, g := startHandler(t, Config{Function: Function{Concurrency: 2}})
	first, _ := open(t, front.URL()+"/gated")
	open(t, front.URL()+"/gated")
	if res, text := do(t, "GET", front.URL()+"/pid", ""); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, "Rate Exceeded") {
		t.Errorf("third: %s %s", res.Status, text)
	}
	g.let(t, "end")
	g.let(t, "end")
	if _, err := io.ReadAll(first); err != nil {
		t.Error(err)
	}
	for range 10 {
		if res, _ := do(t, "GET", front.URL()+"/pid", ""); res.StatusCode != http.StatusOK {
			t.Error(res.Status)
		}
	}
	if b := front.Bill()["handler"]; b.Throttled != 1 || b.Peak != 2 || b.Instances != 2 || b.Invocations != 12 {
		t.Errorf("bill: %v", b)
	}
}

// Who calls one after the other meets one instance, until it is reclaimed.
func TestReuse(t *testing.T) {
	front, _ := startHandler(t, Config{})
	pids := map[string]int{}
	for n := range 20 {
		if n == 10 {
			front.Reclaim()
		}
		_, pid := do(t, "GET", front.URL()+"/pid", "")
		pids[pid]++
	}
	if len(pids) != 2 {
		t.Errorf("processes: %v", pids)
	}
}

// The function never learns that its client has left: it runs on, and is billed.
func TestClientLeaves(t *testing.T) {
	front, g := startHandler(t, Config{Function: Function{Concurrency: 1}})
	body, leave := open(t, front.URL()+"/gated")
	g.let(t, "one\n")
	readLine(t, body)
	leave()
	for range 50 {
		g.let(t, strings.Repeat("x", 64<<10))
	}
	before := front.Bill()["handler"].Billed
	time.Sleep(20 * time.Millisecond)
	g.let(t, "end")
	eventually(t, "it can be called again", func() bool {
		res, _ := do(t, "GET", front.URL()+"/pid", "")
		return res.StatusCode == http.StatusOK
	})
	if b := front.Bill()["handler"]; b.Instances != 1 || b.Failed != 0 || b.Billed < before+20*time.Millisecond {
		t.Errorf("bill: %v, %v before", b, before)
	}
}

// After the burst an answer has a pace.
func TestPace(t *testing.T) {
	front, _ := startHandler(t, Config{Limits: Limits{Burst: 64 << 10, Rate: 1 << 20}})
	began := time.Now()
	_, body := do(t, "GET", front.URL()+"/long?bytes="+strconv.Itoa(320<<10), "")
	if took := time.Since(began); len(body) != 320<<10 || took < 200*time.Millisecond {
		t.Errorf("%d bytes in %v", len(body), took)
	}
}

// An answer is read to its end, also where it is wrong: a runtime gets no error for what its client is spared.
func TestWrongAnswerIsRead(t *testing.T) {
	sent := httptest.NewRecorder()
	c := &client{front: &Front{}, w: sent}
	body := strings.NewReader(strings.Repeat(" ", 1<<20))
	if err := c.receive(&answer{contentType: preludeType, body: body}); err == nil || body.Len() > 0 || c.begun {
		t.Errorf("%v, %d bytes are left", err, body.Len())
	}
}

// Too long an answer is cut; the function does not learn that either.
func TestTooLongAnswer(t *testing.T) {
	front, _ := startHandler(t, Config{Limits: Limits{Response: 100 << 10}})
	got := wait(t, goGet(t, front.URL()+"/long?bytes="+strconv.Itoa(100<<10)))
	if got.err != nil || len(got.body) != 100<<10 {
		t.Errorf("%d bytes, %v", len(got.body), got.err)
	}
	got = wait(t, goGet(t, front.URL()+"/long?bytes="+strconv.Itoa(100<<10+1)))
	if got.err == nil {
		t.Errorf("%d bytes, and an end", len(got.body))
	}
	eventually(t, "it is idle", func() bool { front.Reclaim(); return places(front) == 0 })
	if b := front.Bill()["handler"]; b.Failed != 0 || b.Invocations != 2 {
		t.Errorf("bill: %v", b)
	}
}

// A REST API cuts a stream that is silent, at once, while the function goes on.
func TestGap(t *testing.T) {
	front, g := startHandler(t, Config{Events: RESTAPI, Limits: Limits{Gap: 100 * time.Millisecond}})
	body, _ := open(t, front.URL()+"/gated")
	if rest, err := io.ReadAll(body); err == nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	g.let(t, "one")
	g.let(t, "end")
	eventually(t, "it is idle", func() bool { front.Reclaim(); return places(front) == 0 })
	if b := front.Bill()["handler"]; b.Failed != 0 || b.Invocations != 1 {
		t.Errorf("bill: %v", b)
	}
}

// With a lag each chunk leaves when the next has come, or at the end; what is held when a stream breaks off is lost.
func TestLag(t *testing.T) {
	sent := httptest.NewRecorder()
	c := &client{front: &Front{config: Config{LagOneChunk: true, Limits: Limits{Response: 1 << 20, Burst: 1 << 20}}}, w: sent}
	for _, step := range []struct{ chunk, sent string }{{"one", ""}, {"two", "one"}, {"", "one"}, {"three", "onetwo"}} {
		c.pass([]byte(step.chunk))
		if got := sent.Body.String(); got != step.sent {
			t.Errorf("after %q: %q", step.chunk, got)
		}
	}
	front, g := startHandler(t, Config{LagOneChunk: true})
	for _, how := range []string{"end", "fail"} {
		answer := goGet(t, front.URL()+"/gated")
		g.let(t, "one\n")
		g.let(t, "two\n")
		g.let(t, how)
		got := wait(t, answer)
		if whole := got.body == "one\ntwo\n"; whole != (how == "end") || (got.err == nil) != whole {
			t.Errorf("%s: %+v", how, got)
		}
	}
}
