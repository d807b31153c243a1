// Package invoke asks a deployer that is a function, by lambda:InvokeFunction, as if it were a server: whoever has an
// HTTP client for it needs no other.
package invoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"mcpgateway/internal/deploy"
)

// Transport is an http.RoundTripper. It holds connections and no other state.
type Transport struct {
	function string
	client   *lambda.Client
}

// New returns a Transport to a function, by its name. Nobody is asked yet.
func New(function string, c aws.Config) *Transport {
	return &Transport{function: function, client: lambda.NewFromConfig(c)}
}

// maxQuestion bounds a question, in bytes.
const maxQuestion = 64 << 10

// RoundTrip implements http.RoundTripper. It waits as long as the request's context lasts. An error says nothing of whether
// the function ran: what it is asked can be asked again.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	question := []byte("null")
	if r.Body != nil {
		defer r.Body.Close()
		text, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion))
		if err != nil {
			return nil, err
		}
		if len(text) > 0 {
			question = text
		}
	}
	payload, err := json.Marshal(deploy.Invocation{Path: r.URL.Path, Question: question})
	if err != nil {
		return nil, err
	}
	out, err := t.client.Invoke(r.Context(), &lambda.InvokeInput{FunctionName: &t.function, Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", t.function, err)
	}
	if out.FunctionError != nil { // why is in the function's log
		return nil, fmt.Errorf("invoke %s: the function failed (%s)", t.function, *out.FunctionError)
	}
	var reply deploy.Reply
	if err := json.Unmarshal(out.Payload, &reply); err != nil || reply.Status < 200 {
		return nil, fmt.Errorf("invoke %s: it is no deployer: %w", t.function, errors.Join(err, errors.New("not a reply")))
	}
	return &http.Response{StatusCode: reply.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(reply.Answer)),
		Body: io.NopCloser(bytes.NewReader(reply.Answer))}, nil
}
