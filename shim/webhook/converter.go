// Package webhook makes a filter of an HTTP webhook: an MCP server with one tool that speaks the filters' contract, and
// asks the webhook about each message.
//
// It is told where to listen and whom to ask, holds the webhook's secret, and knows no catalog. Whether what the webhook
// wants is done is the shim's to decide: package filter.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	sdk "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/verdict"
)

// Config is what a Converter needs.
type Config struct {
	URL     *url.URL       // of the webhook
	Remote  *remote.Remote // how to reach it
	Secret  []byte         // signs what is sent; nothing is signed where it is empty
	Timeout time.Duration  // of one check, retries included
	Logger  *slog.Logger
}

// maxRequest bounds a request to a converter, in bytes: JSON may write a message at up to six times its length.
const maxRequest = 6*verdict.MaxMessage + 64<<10

// New makes the MCP server of a webhook, for both eras of the protocol.
func New(c Config) (http.Handler, error) {
	w, err := newConverter(c)
	if err != nil {
		return nil, err
	}
	s := server.NewMCPServer("mcpgateway-webhook", "1")
	s.AddTool(sdk.NewToolWithRawSchema(verdict.Tool, "Asks a webhook whether a JSON-RPC message may pass", inputSchema), w.call)
	stream := server.NewStreamableHTTPServer(s, server.WithStateLess(true), server.WithDisableStreaming(true),
		server.WithStreamableHTTPLogger(c.Logger))
	return http.MaxBytesHandler(stream, maxRequest), nil
}

func newConverter(c Config) (*converter, error) {
	if c.URL == nil || c.Remote == nil || c.Timeout <= 0 || c.Logger == nil {
		return nil, errors.New("webhook: every field but Secret is required")
	}
	client, err := c.Remote.Client(c.URL)
	if err != nil {
		return nil, err
	}
	s, err := newSigner(c.Secret)
	if err != nil {
		return nil, err
	}
	return &converter{Config: c, client: &http.Client{Transport: client, CheckRedirect: noRedirect}, signer: s}, nil
}

var inputSchema = json.RawMessage(`{"type":"object","properties":{"accept":{"type":"boolean"},"mutated":{"type":"boolean"},` +
	`"message":{"type":"object"},"reason":{"type":"string"}},"required":["message"]}`)

// A redirect is an answer like any other: what is sent is signed for the webhook, and goes nowhere else.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// converter asks one webhook.
type converter struct {
	Config
	client *http.Client
	signer signer
}

// call is the tool. A webhook that cannot be asked is an error of the tool, which a filter may be told to pass over; what
// a webhook said is a verdict.
func (c *converter) call(ctx context.Context, r sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	values, err := mcp.Members(r.Params.RawArguments, "message")
	if err != nil || len(values[0]) == 0 || values[0][0] != '{' {
		return sdk.NewToolResultError("the arguments hold no message"), nil
	}
	message := values[0]
	v, err := c.ask(telemetry.Arrived(ctx, r.Header), message)
	if err != nil {
		c.Logger.Warn("webhook could not be asked", "error", err)
		return sdk.NewToolResultError(verdict.Shown(err.Error())), nil
	}
	out, err := v.JSON(message)
	if err != nil {
		return nil, fmt.Errorf("write verdict: %w", err)
	}
	// Not as text too, as older clients would need: it would be the message once more.
	return &sdk.CallToolResult{RawStructuredContent: out, Content: []sdk.Content{}}, nil
}
