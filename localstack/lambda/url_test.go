package lambda

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

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

func TestStreams(t *testing.T) {
	front, g := startHandler(t, Config{})
	res, err := http.Get(front.URL() + "/gated?name=a")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := bufio.NewReader(res.Body)
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
