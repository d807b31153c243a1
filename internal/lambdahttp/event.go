package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"mcpgateway/internal/mcp"
)

// event is what is read of an event of either format (AWS Lambda developer guide, "Invoking Lambda function URLs"; API
// Gateway developer guide, "Lambda proxy integration"): one read finds out which it is.
type event struct {
	Version string `json:"version"` // 2.0; a REST API sends none, and 1.0 is the same format

	// Format 2.0.
	RawPath        string   `json:"rawPath"`
	RawQueryString string   `json:"rawQueryString"`
	Cookies        []string `json:"cookies"`

	// Format 1.0.
	HTTPMethod        string              `json:"httpMethod"`
	Path              string              `json:"path"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Query             map[string]string   `json:"queryStringParameters"`
	MultiValueQuery   map[string][]string `json:"multiValueQueryStringParameters"`

	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"` // format 2.0
		Identity struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"` // format 1.0
		ELB json.RawMessage `json:"elb"` // of a load balancer, which cannot stream
	} `json:"requestContext"`
}

// parseEvent reads an event. What it cannot be is refused with what it should have been.
func parseEvent(payload []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("read event: not one of a function URL or a REST API: %w", err)
	}
	switch {
	case e.Version != "" && e.Version != "1.0" && e.Version != "2.0":
		return nil, fmt.Errorf("read event: format %.20q is unknown: a function URL sends 2.0, and a REST API 1.0", e.Version)
	case e.RequestContext.ELB != nil:
		return nil, errors.New("read event: it is a load balancer's, which cannot stream: use a function URL or a REST API")
	case e.method() == "":
		return nil, errors.New("read event: not an HTTP request: it names no method, so it is of neither a function URL nor a REST API")
	}
	return &e, nil
}

// restAPI tells the formats apart.
func (e *event) restAPI() bool { return e.Version != "2.0" }

func (e *event) method() string {
	if e.restAPI() {
		return e.HTTPMethod
	}
	return e.RequestContext.HTTP.Method
}

// unfit is a request that no HTTP server would have taken. It has a body: a bare 400 makes MCP clients change era.
func unfit(format string, args ...any) error {
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// request makes the request that the front had. The error is an *mcp.Error for the caller.
func (e *event) request(ctx context.Context) (*http.Request, error) {
	if !httpguts.ValidHeaderFieldName(e.method()) { // both are tokens (RFC 9110, section 5.6.2)
		return nil, unfit("The method is not one of HTTP")
	}
	target, err := e.target()
	if err != nil {
		return nil, err
	}
	header, err := e.header()
	if err != nil {
		return nil, err
	}
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	host := header.Get("Host")
	if host == "" {
		host = e.RequestContext.DomainName
	}
	if !httpguts.ValidHostHeader(host) {
		return nil, unfit("The header Host holds no host")
	}
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Connection"} {
		header.Del(name) // of the connection to the front; the length is that of the body as it is here
	}
	r := &http.Request{Method: e.method(), URL: target, RequestURI: target.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, RemoteAddr: e.remote(), ContentLength: int64(len(body)), Body: http.NoBody}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r.WithContext(ctx), nil
}

// target is the path as the client escaped it, and the query.
func (e *event) target() (*url.URL, error) {
	path, query := e.RawPath, e.RawQueryString
	if e.restAPI() {
		path, query = e.Path, e.query().Encode()
	}
	if query != "" {
		query = "?" + query
	}
	u, err := url.ParseRequestURI(path + query)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, unfit("The path is not one of a URL")
	}
	return u, nil
}

// query is a REST API's, which has decoded it.
func (e *event) query() url.Values {
	all := url.Values{}
	for name, value := range e.Query {
		all.Set(name, value)
	}
	for name, values := range e.MultiValueQuery {
		all[name] = values
	}
	return all
}

// header has every value that the client sent. Function URLs join those of repeated headers, and have cookies apart.
func (e *event) header() (http.Header, error) {
	h := http.Header{}
	if e.restAPI() {
		for name, values := range e.MultiValueHeaders {
			for _, v := range values {
				h.Add(name, v)
			}
		}
	}
	for name, value := range e.Headers {
		if _, there := h[http.CanonicalHeaderKey(name)]; !there {
			h.Set(name, value)
		}
	}
	if len(e.Cookies) > 0 && !e.restAPI() {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, unfit("The header %.60q has no valid name", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, unfit("The header %.60s holds bytes that no header may", name)
			}
		}
	}
	return h, nil
}

func (e *event) body() ([]byte, error) {
	if !e.IsBase64Encoded {
		return []byte(e.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, unfit("The body is marked as base64 and is not")
	}
	return body, nil
}

// remote is the client's address in the form of net/http; the port is not known.
func (e *event) remote() string {
	ip := e.RequestContext.HTTP.SourceIP
	if e.restAPI() {
		ip = e.RequestContext.Identity.SourceIP
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		return ""
	}
	return net.JoinHostPort(ip, "0")
}
