package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// parse reads a body's messages, one at least.
func parse(body []byte) ([]mcp.Labelled, error) {
	batch, err := mcp.SplitBatch(body)
	if err != nil {
		return nil, &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeParse, Message: "Parse error: " + err.Error()}
	}
	if len(batch) == 0 {
		return nil, invalid(nil, "an empty batch")
	}
	messages := make([]mcp.Labelled, len(batch))
	for i, raw := range batch {
		if messages[i], err = mcp.ParseLabelled(raw); err != nil {
			return nil, invalid(nil, "%v", err)
		}
	}
	return messages, nil
}

func isBatch(body []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte{'['}) }

// invalid is the error of a request that no server could answer.
func invalid(id mcp.Token, format string, args ...any) error {
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, ID: id,
		Message: "Invalid request: " + fmt.Sprintf(format, args...)}
}

// withID says which request an error is about, where it does not say so already.
func withID(err error, id mcp.Token) error {
	var e *mcp.Error
	if !errors.As(err, &e) || e.ID != nil {
		return err
	}
	about := *e
	about.ID = id
	return &about
}

// unsent is the error of a message that could not be handed to the child.
func unsent(err error, id mcp.Token) error {
	if errors.Is(err, errBusy) {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: time.Second, ID: id,
			Message: "Too many requests are under way on this server; try again", Cause: err}
	}
	var e *mcp.Error
	if errors.As(err, &e) {
		return withID(err, id)
	}
	return withID(broken(err), id)
}
