// Package lambdahttp runs an http.Handler as a Lambda function that streams: behind a function URL (events of format 2.0)
// and behind a REST API with responseTransferMode STREAM (format 1.0).
//
// It is here because lambdaurl of aws-lambda-go cannot flush, takes a panic or a broken upstream for a clean end, an interim
// answer for the final one, and loses base64 bodies, cookies and repeated headers. It decides nothing about requests, and
// does not end a stream before the deadline: the request's context carries it, and the handler knows how to end well.
package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"mcpgateway/internal/mcp"
)

// Config is what an Adapter needs; all fields are required.
type Config struct {
	Handler http.Handler
	Logger  *slog.Logger // hears of panics and of events that are refused
}

// Adapter turns events into requests, and answers into streams.
type Adapter struct {
	handler http.Handler
	origin  origin
	log     *slog.Logger
}

// New returns an Adapter, which serves a front of our own only where ORIGIN_SECRETS names secrets of one.
func New(c Config) (*Adapter, error) {
	if c.Handler == nil || c.Logger == nil {
		return nil, errors.New("lambdahttp: a handler and a logger are required")
	}
	origin, err := readOrigin()
	if err != nil {
		return nil, err
	}
	return &Adapter{handler: c.Handler, origin: origin, log: c.Logger}, nil
}

// Start serves events of the Runtime API that AWS_LAMBDA_RUNTIME_API names. It never returns: where that API goes away the
// process exits, and Lambda starts another.
func (a *Adapter) Start() { lambda.Start(a.Invoke) }

// Invoke serves one event. It returns when the answer's head is known; the reader is the rest of it. Events that are none of
// HTTP are an error, so that whoever configured them learns of it; what is wrong with a request itself is its answer.
func (a *Adapter) Invoke(ctx context.Context, payload json.RawMessage) (io.Reader, error) {
	e, err := parseEvent(payload)
	if err != nil {
		a.log.Error("event refused", "error", err)
		return nil, err
	}
	r, err := e.request(ctx)
	if err == nil {
		err = a.origin.admit(r)
	}
	if err != nil {
		known := mcp.AsError(err)
		a.log.Warn("request refused", "error", err)
		return e.answer(a.run(func(w http.ResponseWriter, _ *http.Request) { known.Write(w, "") }, new(http.Request))), nil
	}
	return e.answer(a.run(a.handler.ServeHTTP, r)), nil
}

// answer puts a head and its body into the form that the event's front reads.
func (e *event) answer(h head, body io.ReadCloser) io.Reader {
	if e.restAPI() {
		return &events.APIGatewayProxyStreamingResponse{StatusCode: h.status, MultiValueHeaders: h.header, Body: body}
	}
	headers, cookies := h.single()
	return &events.LambdaFunctionURLStreamingResponse{StatusCode: h.status, Headers: headers, Cookies: cookies, Body: body}
}
