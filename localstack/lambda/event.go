package lambda

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var errTooLarge = errors.New("larger than Lambda allows")

// urlEvent is a function URL's event, payload format 2.0:
// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
type urlEvent struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        urlContext        `json:"requestContext"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type urlContext struct {
	AccountID    string  `json:"accountId"`
	APIID        string  `json:"apiId"`
	DomainName   string  `json:"domainName"`
	DomainPrefix string  `json:"domainPrefix"`
	HTTP         urlHTTP `json:"http"`
	RequestID    string  `json:"requestId"`
	RouteKey     string  `json:"routeKey"`
	Stage        string  `json:"stage"`
	Time         string  `json:"time"`
	TimeEpoch    int64   `json:"timeEpoch"`
}

type urlHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// restEvent is a REST API's event, proxy integration:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
type restEvent struct {
	Resource                        string              `json:"resource"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters                  map[string]string   `json:"pathParameters"`
	StageVariables                  map[string]string   `json:"stageVariables"`
	RequestContext                  restContext         `json:"requestContext"`
	Body                            *string             `json:"body"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
}

type restContext struct {
	AccountID         string            `json:"accountId"`
	APIID             string            `json:"apiId"`
	DomainName        string            `json:"domainName"`
	DomainPrefix      string            `json:"domainPrefix"`
	ExtendedRequestID string            `json:"extendedRequestId"`
	HTTPMethod        string            `json:"httpMethod"`
	Identity          map[string]string `json:"identity"`
	Path              string            `json:"path"`
	Protocol          string            `json:"protocol"`
	RequestID         string            `json:"requestId"`
	RequestTime       string            `json:"requestTime"`
	RequestTimeEpoch  int64             `json:"requestTimeEpoch"`
	ResourceID        string            `json:"resourceId"`
	ResourcePath      string            `json:"resourcePath"`
	Stage             string            `json:"stage"`
}

const (
	apiID      = "localfront"
	timeFormat = "02/Jan/2006:15:04:05 -0700"
)

// event makes the event of a request whose body has been read. errTooLarge is a 413.
func (c *Config) event(r *http.Request, body []byte, trace string) ([]byte, error) {
	headers := received(r, trace)
	var event any
	if c.Events == RESTAPI {
		rest := newRESTEvent(r, headers, body)
		if c.BinaryMediaTypes {
			rest.encode(body)
		}
		event = rest
	} else {
		event = newURLEvent(r, headers, body)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // what AWS does not escape must not count against its limit
	if err := e.Encode(event); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if text.Len() > maxPayload {
		return nil, errTooLarge
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

func newURLEvent(r *http.Request, headers http.Header, body []byte) urlEvent {
	now := time.Now().UTC()
	e := urlEvent{
		Version: "2.0", RouteKey: "$default", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery,
		Cookies: cookies(headers), Headers: map[string]string{}, QueryStringParameters: map[string]string{},
		RequestContext: urlContext{
			AccountID: "anonymous", APIID: apiID, DomainName: r.Host, DomainPrefix: apiID,
			HTTP: urlHTTP{Method: r.Method, Path: r.URL.EscapedPath(), Protocol: r.Proto, SourceIP: address(r),
				UserAgent: r.UserAgent()},
			RequestID: newID(), RouteKey: "$default", Stage: "$default",
			Time: now.Format(timeFormat), TimeEpoch: now.UnixMilli(),
		},
	}
	for name, values := range headers {
		if name != "Cookie" {
			e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	for name, values := range r.URL.Query() {
		e.QueryStringParameters[name] = strings.Join(values, ",")
	}
	if e.Body = string(body); len(body) > 0 && !isText(headers, body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return e
}

// newRESTEvent makes an event without binary media types, so the body is always text. The URL is a custom domain's: the
// stage is not in the path.
func newRESTEvent(r *http.Request, headers http.Header, body []byte) restEvent {
	now := time.Now().UTC()
	e := restEvent{
		Resource: "/{proxy+}", Path: r.URL.Path, HTTPMethod: r.Method,
		Headers: last(headers), MultiValueHeaders: headers,
		PathParameters: map[string]string{"proxy": strings.TrimPrefix(r.URL.Path, "/")},
		RequestContext: restContext{
			AccountID: account, APIID: apiID, DomainName: r.Host, DomainPrefix: apiID, ExtendedRequestID: newID(),
			HTTPMethod: r.Method, Identity: map[string]string{"sourceIp": address(r), "userAgent": r.UserAgent()},
			Path: r.URL.Path, Protocol: r.Proto, RequestID: newID(), RequestTime: now.Format(timeFormat),
			RequestTimeEpoch: now.UnixMilli(), ResourceID: "proxy", ResourcePath: "/{proxy+}", Stage: "live",
		},
	}
	if query := r.URL.Query(); len(query) > 0 {
		e.QueryStringParameters, e.MultiValueQueryStringParameters = last(query), query
	}
	if len(body) > 0 {
		text := string(body)
		e.Body = &text
	}
	return e
}

// encode is what an API does whose binary media types are */*: every body is binary.
func (e *restEvent) encode(body []byte) {
	if e.Body != nil {
		text := base64.StdEncoding.EncodeToString(body)
		e.Body, e.IsBase64Encoded = &text, true
	}
}

// hopByHop end at the front (RFC 9110 section 7.6.1), besides what Connection names.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}

// received are the request's headers as the function gets them, with those that AWS adds.
func received(r *http.Request, trace string) http.Header {
	h := r.Header.Clone()
	for _, name := range strings.Split(strings.Join(h["Connection"], ","), ",") {
		h.Del(strings.TrimSpace(name))
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
	h.Set("Host", r.Host)
	h.Set("X-Forwarded-For", strings.Join(append(h["X-Forwarded-For"], address(r)), ", "))
	h.Set("X-Forwarded-Proto", "https")
	h.Set("X-Forwarded-Port", "443")
	h.Set("X-Amzn-Trace-Id", trace)
	return h
}

// newTrace is an X-Ray trace header.
func newTrace() string {
	var b [12]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return fmt.Sprintf("Root=1-%08x-%x", time.Now().Unix(), b)
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func cookies(h http.Header) []string {
	var list []string
	for _, pair := range strings.Split(strings.Join(h["Cookie"], ";"), ";") {
		if pair = strings.TrimSpace(pair); pair != "" {
			list = append(list, pair)
		}
	}
	return list
}

func last(multi map[string][]string) map[string]string {
	single := map[string]string{}
	for name := range maps.Keys(multi) {
		single[name] = multi[name][len(multi[name])-1]
	}
	return single
}

// textTypes come as they are, all others but text/* in base64, and so does what is encoded or no text at all.
var textTypes = []string{"application/json", "application/javascript", "application/xml"}

func isText(h http.Header, body []byte) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && h.Get("Content-Encoding") == "" && utf8.Valid(body) &&
		(strings.HasPrefix(kind, "text/") || slices.Contains(textTypes, kind))
}
