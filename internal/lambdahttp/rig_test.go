package lambdahttp

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
)

const separator = "\x00\x00\x00\x00\x00\x00\x00\x00"

// prelude is what a front reads before an answer's body.
type prelude struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
}

// answer is one as a front gets it.
type answer struct {
	prelude
	body   string
	chunks []string // that the body came in
	err    error    // that the stream ended with; nil is a clean end
}

func adapter(t *testing.T, handler http.HandlerFunc) *Adapter {
	t.Helper()
	a, err := New(Config{Handler: handler, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// invoke has the handler serve an event, and reads as the Runtime API's client does.
func invoke(t *testing.T, handler http.HandlerFunc, payload string) answer {
	t.Helper()
	out, err := adapter(t, handler).Invoke(t.Context(), json.RawMessage(payload))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, out)
}

func read(t *testing.T, out io.Reader) (a answer) {
	t.Helper()
	defer out.(io.Closer).Close()
	a.chunks, a.err = chunksOf(out)
	text, body, ok := bytes.Cut([]byte(join(a.chunks)), []byte(separator))
	if !ok {
		t.Fatalf("no prelude in %q, %v", join(a.chunks), a.err)
	}
	if err := json.Unmarshal(text, &a.prelude); err != nil {
		t.Fatal(err)
	}
	a.body, a.chunks = string(body), a.chunks[1:]
	return a
}

func chunksOf(r io.Reader) (chunks []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			chunks = append(chunks, string(buf[:n]))
		}
		if err == io.EOF {
			return chunks, nil
		}
		if err != nil {
			return chunks, err
		}
	}
}

func join(chunks []string) string {
	var b bytes.Buffer
	for _, c := range chunks {
		b.WriteString(c)
	}
	return b.String()
}

// v2 is a function URL's event, v1 a REST API's; change is merged into it.
func v2(t *testing.T, change string) string {
	return merge(t, `{"version":"2.0","rawPath":"/mcp-connect/github","rawQueryString":"","headers":{"host":"gateway.test"},
		"requestContext":{"domainName":"abc.lambda-url.eu-central-1.on.aws","http":{"method":"POST","path":"/mcp-connect/github","sourceIp":"192.0.2.1"}},
		"body":"{}","isBase64Encoded":false}`, change)
}

func v1(t *testing.T, change string) string {
	return merge(t, `{"resource":"/{proxy+}","path":"/mcp-connect/github","httpMethod":"POST","headers":{"Host":"gateway.test"},
		"multiValueHeaders":{"Host":["gateway.test"]},"queryStringParameters":null,"multiValueQueryStringParameters":null,
		"requestContext":{"domainName":"x.execute-api.eu-central-1.amazonaws.com","stage":"prod","httpMethod":"POST","identity":{"sourceIp":"192.0.2.1"}},
		"body":"{}","isBase64Encoded":false}`, change)
}

func merge(t *testing.T, event, change string) string {
	t.Helper()
	var into, from map[string]any
	if err := json.Unmarshal([]byte(event), &into); err != nil {
		t.Fatal(err)
	}
	if change != "" {
		if err := json.Unmarshal([]byte(change), &from); err != nil {
			t.Fatal(err)
		}
	}
	overlay(into, from)
	out, err := json.Marshal(into)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func overlay(into, from map[string]any) {
	for name, value := range from {
		old, ok := into[name].(map[string]any)
		if now, is := value.(map[string]any); ok && is {
			overlay(old, now)
			continue
		}
		into[name] = value
	}
}
