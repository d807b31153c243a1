package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBase64(t *testing.T) {
	for _, tc := range []struct {
		kind, encoding, body string
		text                 bool
	}{
		{"application/json", "", "{}", true},
		{"application/json; charset=utf-8", "", "{}", true},
		{"text/event-stream", "", "x", true},
		{"application/xml", "", "x", true},
		{"application/json", "gzip", "{}", false},
		{"application/json", "", "\xff", false},
		{"application/x-www-form-urlencoded", "", "a=b", false},
		{"application/octet-stream", "", "x", false},
		{"", "", "x", false},
		{";", "", "x", false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		for name, value := range map[string]string{"Content-Type": tc.kind, "Content-Encoding": tc.encoding} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		text, err := (&Config{}).event(r, []byte(tc.body), "")
		if err != nil {
			t.Fatal(err)
		}
		var e urlEvent
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		want := tc.body
		if !tc.text {
			want = base64.StdEncoding.EncodeToString([]byte(tc.body))
		}
		if e.Body != want || e.IsBase64Encoded == tc.text {
			t.Errorf("%+v: %q, base64 %t", tc, e.Body, e.IsBase64Encoded)
		}
	}
}

func TestRESTEvent(t *testing.T) {
	front, _ := startHandler(t, Config{Events: RESTAPI})
	_, text := do(t, "POST", front.URL()+"/event?a=1&a=2", `{"x":1}`, "Content-Type", "application/json",
		"X-Two", "a", "X-Two", "b", "Cookie", "a=1")
	text = strings.ReplaceAll(text, strings.TrimPrefix(front.URL(), "http://"), "HOST")
	want := `{"resource":"/{proxy+}","path":"/event","httpMethod":"POST",` +
		`"headers":{"Accept-Encoding":"gzip","Content-Length":"7","Content-Type":"application/json","Cookie":"a=1","Host":"HOST",` +
		`"User-Agent":"Go-http-client/1.1","X-Amzn-Trace-Id":"*","X-Forwarded-For":"127.0.0.1","X-Forwarded-Port":"443",` +
		`"X-Forwarded-Proto":"https","X-Two":"b"},` +
		`"multiValueHeaders":{"Accept-Encoding":["gzip"],"Content-Length":["7"],"Content-Type":["application/json"],"Cookie":["a=1"],` +
		`"Host":["HOST"],"User-Agent":["Go-http-client/1.1"],"X-Amzn-Trace-Id":["*"],"X-Forwarded-For":["127.0.0.1"],` +
		`"X-Forwarded-Port":["443"],"X-Forwarded-Proto":["https"],"X-Two":["a","b"]},` +
		`"queryStringParameters":{"a":"2"},"multiValueQueryStringParameters":{"a":["1","2"]},"pathParameters":{"proxy":"event"},` +
		`"stageVariables":null,"requestContext":{"accountId":"123456789012","apiId":"localfront","domainName":"HOST",` +
		`"domainPrefix":"localfront","extendedRequestId":"*","httpMethod":"POST",` +
		`"identity":{"sourceIp":"127.0.0.1","userAgent":"Go-http-client/1.1"},"path":"/event","protocol":"HTTP/1.1",` +
		`"requestId":"*","requestTime":"*","requestTimeEpoch":"*","resourceId":"proxy","resourcePath":"/{proxy+}","stage":"live"},` +
		`"body":"{\"x\":1}","isBase64Encoded":false}`
	text = withoutChance(t, text, "requestId", "extendedRequestId", "requestTime", "requestTimeEpoch", "X-Amzn-Trace-Id")
	text = strings.Replace(text, `["`+traceIn(text)+`"]`, `["*"]`, 1)
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

// traceIn finds the trace in the headers of many values.
func traceIn(text string) string {
	_, after, _ := strings.Cut(text, `"X-Amzn-Trace-Id":["`)
	trace, _, _ := strings.Cut(after, `"`)
	return trace
}

// A payload of more than 6 MiB is refused, as the client sent it and as it is in the event; nothing is invoked.
func TestTooLarge(t *testing.T) {
	for kind, body := range map[string]string{
		"application/json":         strings.Repeat(" ", maxPayload+1),
		"text/plain":               strings.Repeat(" ", maxPayload-10),
		"application/octet-stream": strings.Repeat(" ", maxPayload*3/4),
	} {
		front, _ := startHandler(t, Config{})
		res, _ := do(t, "POST", front.URL()+"/event", body, "Content-Type", kind)
		if b := front.Bill()["handler"]; res.StatusCode != http.StatusRequestEntityTooLarge || b.Instances > 0 {
			t.Errorf("%s: %s, %v", kind, res.Status, b)
		}
	}
	front, _ := startHandler(t, Config{})
	endless, write := io.Pipe()
	go write.Write(make([]byte, maxPayload+1)) // and no end
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	r, err := http.NewRequestWithContext(ctx, "POST", front.URL()+"/event", endless)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("before its end: %v, %v", res, err)
	}
	res, _ := do(t, "POST", front.URL()+"/pid", strings.Repeat(" ", maxPayload-2000), "Content-Type", "text/plain")
	if res.StatusCode != http.StatusOK {
		t.Errorf("almost too large: %s", res.Status)
	}
	r.Method, r.Body, r.Header = "GET", nil, http.Header{"X-Long": {strings.Repeat("x", 2*maxHeaders)}}
	// It is told, unless the connection that was closed at once is faster.
	if res, err := http.DefaultClient.Do(r); err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large header: %s", res.Status)
	}
	if b := front.Bill()["handler"]; b.Invocations != 1 {
		t.Errorf("bill: %v", b)
	}
}

// Whatever is requested, the event is JSON that says the same.
func FuzzEvent(f *testing.F) {
	f.Add("/a%2Fb", "a=1&b", "application/json", "a=1; b=2", []byte("{}"))
	f.Add("/\xff", "%zz&;", "text/plain;;", ";=;", []byte("\xff"))
	f.Fuzz(func(t *testing.T, path, query, kind, cookie string, body []byte) {
		r := httptest.NewRequest("POST", "/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Cookie", cookie)
		for _, events := range []EventKind{FunctionURL, RESTAPI} {
			text, err := (&Config{Events: events}).event(r, body, "trace")
			if err != nil {
				t.Fatal(err)
			}
			var e urlEvent
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if events == RESTAPI {
				continue
			}
			got := []byte(e.Body)
			if e.IsBase64Encoded {
				if got, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != string(body) {
				t.Errorf("body %q became %q", body, got)
			}
		}
	})
}

// An API with binary media types of */* hands on every body in base64, and no body as none.
func TestBinaryMediaTypes(t *testing.T) {
	c := &Config{Events: RESTAPI, BinaryMediaTypes: true}
	for body, want := range map[string]string{"{}": `"body":"e30=","isBase64Encoded":true`, "": `"body":null,"isBase64Encoded":false`} {
		text, err := c.event(httptest.NewRequest(http.MethodPost, "/x", nil), []byte(body), "trace")
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%q: %s, %v", body, text, err)
		}
	}
}
