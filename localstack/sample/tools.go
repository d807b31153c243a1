package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// maxSlow bounds the tool "slow", so that a forgotten call ends by itself.
const maxSlow = 10 * time.Minute

// settle is how long a result waits after a notification. mcp-go v1.2.1 hands notifications to another goroutine and
// drops the one that this still holds when the result is ready.
const settle = 20 * time.Millisecond

func addTools(s *mcpserver.MCPServer) {
	s.AddTool(mcp.NewTool("echo",
		mcp.WithDescription("Returns the message."),
		mcp.WithReadOnlyHintAnnotation(true),
		mcp.WithString("message", mcp.Required())), echo)
	s.AddTool(mcp.NewTool("add",
		mcp.WithDescription("Adds two numbers."),
		mcp.WithReadOnlyHintAnnotation(true),
		mcp.WithNumber("a", mcp.Required()),
		mcp.WithNumber("b", mcp.Required())), add)
	s.AddTool(mcp.NewTool("slow",
		mcp.WithDescription("Takes the given number of seconds and reports progress as each tenth of it begins."),
		mcp.WithReadOnlyHintAnnotation(true),
		mcp.WithNumber("seconds", mcp.Required(), mcp.Min(0), mcp.Max(maxSlow.Seconds()))), slow)
	s.AddTool(mcp.NewTool("headers",
		mcp.WithDescription("Returns the HTTP headers that this server received with the call: no caller's token among them."),
		mcp.WithReadOnlyHintAnnotation(true)), headers)
	s.AddTool(mcp.NewTool("notify",
		mcp.WithDescription("Sends the message as a log notification to the caller, and tells all listeners that the list of tools changed."),
		mcp.WithString("message", mcp.Required()),
		mcp.WithString("level", mcp.Enum("debug", "info", "notice", "warning", "error"), mcp.DefaultString("error"),
			mcp.Description("Clients receive only what their own log level admits; a legacy one that set none, errors."))), notify)
}

func echo(_ context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	message, err := call.RequireString("message")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return mcp.NewToolResultText(message), nil
}

func add(_ context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	a, err := call.RequireFloat("a")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	b, err := call.RequireFloat("b")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return mcp.NewToolResultText(strconv.FormatFloat(a+b, 'g', -1, 64)), nil
}

func slow(ctx context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	seconds, err := call.RequireFloat("seconds")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	if math.IsNaN(seconds) || seconds < 0 || seconds > maxSlow.Seconds() {
		return mcp.NewToolResultErrorf("seconds must be between 0 and %g", maxSlow.Seconds()), nil
	}
	const steps = 10
	step := time.Duration(seconds * float64(time.Second) / steps)
	for i := range steps {
		reportProgress(ctx, call, i+1, steps)
		if err := pause(ctx, step); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText(fmt.Sprintf("slept %g s", seconds)), nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// reportProgress tells callers that asked for it how far a call is. One that cannot be told still gets its result.
func reportProgress(ctx context.Context, call mcp.CallToolRequest, done, total int) {
	if call.Params.Meta == nil || call.Params.Meta.ProgressToken == nil {
		return
	}
	_ = mcpserver.ServerFromContext(ctx).SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress), map[string]any{
		"progressToken": call.Params.Meta.ProgressToken,
		"progress":      done,
		"total":         total,
	})
}

func headers(_ context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	text, err := json.MarshalIndent(call.Header, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode headers: %w", err)
	}
	return mcp.NewToolResultText(string(text)), nil
}

func notify(ctx context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	message, err := call.RequireString("message")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	s := mcpserver.ServerFromContext(ctx)
	level := mcp.LoggingLevel(call.GetString("level", "error"))
	if err := s.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(level, "sample-server", message)); err != nil {
		return nil, fmt.Errorf("send log notification: %w", err)
	}
	s.SendNotificationToAllClients(mcp.MethodNotificationToolsListChanged, nil)
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	return mcp.NewToolResultText("notified"), nil
}
