package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"
)

// preludeType is the content type of an answer that begins with a prelude.
const preludeType = "application/vnd.awslambda.http-integration-response"

// maxPrelude is within how many bytes the delimiter must come:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
const maxPrelude = 16 << 10

var delimiter = make([]byte, 8)

// prelude is what an answer begins with.
type prelude struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
}

// readPrelude reads until the delimiter, and returns what came after it.
func readPrelude(chunks <-chan chunk) (*prelude, []byte, error) {
	var read []byte
	for next := range chunks {
		if next.err != nil {
			return nil, nil, next.err
		}
		read = append(read, next.data...)
		if head, rest, found := bytes.Cut(read, delimiter); found && len(head) <= maxPrelude {
			p, err := parsePrelude(head)
			return p, rest, err
		}
		if len(read) > maxPrelude {
			return nil, nil, errors.New("prelude: no delimiter within 16 KiB")
		}
	}
	return nil, nil, errors.New("prelude: the answer ends before the delimiter")
}

// parsePrelude reads the JSON of a prelude.
func parsePrelude(text []byte) (*prelude, error) {
	p := &prelude{StatusCode: http.StatusOK}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("prelude: %w", err)
	}
	if p.StatusCode < 200 || p.StatusCode > 599 {
		return nil, fmt.Errorf("prelude: status %d", p.StatusCode)
	}
	return p, nil
}

// write puts the headers into h. What cannot be sent is an error, and h is as it was.
func (p *prelude) write(h http.Header) error {
	own := http.Header{}
	for name, value := range p.Headers {
		own[http.CanonicalHeaderKey(name)] = []string{value}
	}
	for name, values := range p.MultiValueHeaders { // API Gateway: they win over a single value
		own[http.CanonicalHeaderKey(name)] = values
	}
	for _, cookie := range p.Cookies {
		own.Add("Set-Cookie", cookie)
	}
	for name, values := range own {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return fmt.Errorf("prelude: header %q cannot be sent", name)
		}
	}
	for _, name := range append(slices.Clone(hopByHop), "Content-Length") { // an answer that is streamed is chunked
		own.Del(name)
	}
	if own["Content-Type"] == nil {
		own.Set("Content-Type", "application/octet-stream")
	}
	for name, values := range own {
		h[name] = values
	}
	return nil
}
