package lambdahttp

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is what a handler saw of a request.
type seen struct {
	Method, Target, Host, Remote, Body string
	Length                             int64
	Header                             http.Header
}

func TestRequests(t *testing.T) {
	tests := []struct {
		name  string
		event string
		want  seen
	}{
		{"function URL", v2(t, `{"headers":{"content-type":"application/json","content-length":"999","transfer-encoding":"chunked"}}`),
			seen{Header: http.Header{"Content-Type": {"application/json"}}}},
		{"REST API", v1(t, `{"multiValueHeaders":{"Content-Type":["application/json"],"X-Two":["a","b"]},"headers":{"X-Two":"b","X-One":"c"}}`),
			seen{Header: http.Header{"Content-Type": {"application/json"}, "X-Two": {"a", "b"}, "X-One": {"c"}}}},
		{"REST API that says its format", v1(t, `{"version":"1.0","multiValueHeaders":null}`), seen{Header: http.Header{}}},
		{"cookies", v2(t, `{"cookies":["a=1","b=2"]}`), seen{Header: http.Header{"Cookie": {"a=1; b=2"}}}},
		{"joined headers", v2(t, `{"headers":{"x-two":"a,b"}}`), seen{Header: http.Header{"X-Two": {"a,b"}}}},
		{"query and escapes", v2(t, `{"rawPath":"/v0.1/servers/a%2Fb","rawQueryString":"x=%20y&x=2"}`),
			seen{Target: "/v0.1/servers/a%2Fb?x=%20y&x=2", Header: http.Header{}}},
		{"query of a REST API", v1(t, `{"queryStringParameters":{"x":"2","z":"3"},"multiValueQueryStringParameters":{"x":[" y","2"]}}`),
			seen{Target: "/mcp-connect/github?x=+y&x=2&z=3", Header: http.Header{}}},
		{"base64", v2(t, `{"body":"eyLDpCI6IP8=","isBase64Encoded":true}`), seen{Body: "{\"ä\": \xff", Length: 8, Header: http.Header{}}},
		{"base64 of a REST API", v1(t, `{"body":"e30K","isBase64Encoded":true}`), seen{Body: "{}\n", Length: 3, Header: http.Header{}}},
		{"no body", v1(t, `{"body":null,"httpMethod":"GET"}`), seen{Method: "GET", Body: "-", Header: http.Header{}}},
		{"no Host", v2(t, `{"headers":{"host":""}}`), seen{Host: "abc.lambda-url.eu-central-1.on.aws", Header: http.Header{}}},
		{"no address", v2(t, `{"requestContext":{"http":{"sourceIp":"evil"}}}`), seen{Remote: "-", Header: http.Header{}}},
		{"IPv6", v1(t, `{"requestContext":{"identity":{"sourceIp":"2001:db8::1"}}}`), seen{Remote: "[2001:db8::1]:0", Header: http.Header{}}},
	}
	standard := seen{Method: "POST", Target: "/mcp-connect/github", Host: "gateway.test", Remote: "192.0.2.1:0", Body: "{}", Length: 2}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got seen
			invoke(t, func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = seen{r.Method, r.RequestURI, r.Host, r.RemoteAddr, string(body), r.ContentLength, r.Header}
			}, tt.event)
			want := standard
			fill(&want.Method, tt.want.Method)
			fill(&want.Target, tt.want.Target)
			fill(&want.Host, tt.want.Host)
			fill(&want.Remote, tt.want.Remote)
			if fill(&want.Body, tt.want.Body); tt.want.Body != "" {
				want.Length = tt.want.Length
			}
			want.Header = tt.want.Header
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// fill replaces what is given; "-" is nothing.
func fill(field *string, value string) {
	if value != "" {
		*field = strings.TrimPrefix(value, "-")
	}
}

// What is wrong with a request is told to the client, in the form that keeps an MCP client in its era.
func TestUnfitRequests(t *testing.T) {
	for name, change := range map[string]string{
		"base64":        `{"body":"%%%","isBase64Encoded":true}`,
		"method":        `{"requestContext":{"http":{"method":"GET /x"}}}`,
		"relative path": `{"rawPath":"mcp-connect/github"}`,
		"escape":        `{"rawPath":"/%zz"}`,
		"path with LF":  `{"rawPath":"/a\nb"}`,
		"query with LF": `{"rawQueryString":"a\r\nb"}`,
		"header name":   `{"headers":{"x y":"1"}}`,
		"header value":  `{"headers":{"authorization":"a\r\nX-Admin: 1"}}`,
		"cookie":        `{"cookies":["a=1\nX-Admin: 1"]}`,
		"host":          `{"headers":{"host":"a/b"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := invoke(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, v2(t, change))
			var body struct {
				Version string `json:"jsonrpc"`
				Error   struct {
					Code    int    `json:"code"`
					Message string `json:"message"`
				} `json:"error"`
			}
			if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Version != "2.0" || body.Error.Message == "" || body.Error.Code == 0 {
				t.Errorf("body %q, %v", got.body, err)
			}
			if got.StatusCode != 400 || got.Headers["Content-Type"] != "application/json" || got.err != nil {
				t.Errorf("answer %+v", got)
			}
		})
	}
}

func TestNoHTTPEvents(t *testing.T) {
	for payload, want := range map[string]string{
		`{"Records":[{"s3":{}}]}`: "not an HTTP request",
		`{}`:                      "not an HTTP request",
		`[]`:                      "not one of a function URL or a REST API",
		`"hello"`:                 "not one of a function URL or a REST API",
		`{"version":"2.0","requestContext":{"http":{"method":7}}}`:                          "not one of a function URL or a REST API",
		`{"version":"0","source":"aws.events","detail-type":"Scheduled Event"}`:             `format "0" is unknown`,
		`{"version":"3.0","requestContext":{"http":{"method":"GET"}}}`:                      `format "3.0" is unknown`,
		`{"version":"2.0","httpMethod":"GET"}`:                                              "not an HTTP request",
		`{"httpMethod":"GET","path":"/","requestContext":{"elb":{"targetGroupArn":"arn"}}}`: "load balancer",
	} {
		_, err := adapter(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }).Invoke(t.Context(), json.RawMessage(payload))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", payload, err, want)
		}
	}
}

// Six megabytes, the most that Lambda lets through, arrive whole.
func TestLargeBody(t *testing.T) {
	large := strings.Repeat("x", 6<<20)
	got := invoke(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ContentLength != int64(len(body)) {
			t.Errorf("length %d of %d", r.ContentLength, len(body))
		}
		_, _ = w.Write(body)
	}, v2(t, `{"body":"`+large+`"}`))
	if got.body != large || got.err != nil {
		t.Errorf("%d bytes, %v", len(got.body), got.err)
	}
}
