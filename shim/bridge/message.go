package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// read reads a request's messages, one at least, and tells whether they are a batch.
func read(r *http.Request) (messages []mcp.Labelled, batch bool, err error) {
	body, err := mcp.ReadBody(r)
	if err != nil {
		return nil, false, err
	}
	parts, batch, err := mcp.ParseBatch(body)
	if err != nil {
		return nil, false, &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeParse, Message: "Parse error: " + err.Error()}
	}
	if len(parts) == 0 {
		return nil, false, invalid(nil, "an empty batch")
	}
	messages = make([]mcp.Labelled, len(parts))
	for i, part := range parts {
		if part.Err != nil {
			return nil, false, invalid(nil, "%v", part.Err)
		}
		messages[i] = part.Labelled
	}
	return messages, batch, nil
}

// member returns a member of an object, nil where there is none. Its name counts as it is written: in a struct
// encoding/json takes "Result" for "result" too, and the last of both.
func member(object []byte, name string) json.RawMessage {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members) // what is no object has no members
	return members[name]
}

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
