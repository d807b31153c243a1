package mcp

import (
	"encoding/json"
	"io"
	"net/http"
)

// Introduction is the params of a client's initialize as far as a server needs them, to be told again: who the client is, and
// what it can do.
func Introduction(request Token) (string, error) {
	outer, err := Members(request, "params")
	if err != nil {
		return "", err
	}
	p, err := Members(outer[0], "protocolVersion", "capabilities", "clientInfo")
	if err != nil {
		return "", err
	}
	c, err := Members(p[2], "name", "version")
	if err != nil {
		return "", err
	}
	type client struct {
		Name    json.RawMessage `json:"name"`
		Version json.RawMessage `json:"version"`
	}
	text, err := json.Marshal(struct {
		Version      json.RawMessage `json:"protocolVersion"`
		Capabilities json.RawMessage `json:"capabilities"`
		Client       client          `json:"clientInfo"`
	}{json.RawMessage(p[0]), json.RawMessage(p[1]), client{json.RawMessage(c[0]), json.RawMessage(c[1])}})
	return string(text), err
}

// FirstAnswer is the first message of a body that answers a request, of JSON or of a stream, and no longer than most.
func FirstAnswer(h http.Header, body io.Reader, most int) ([]byte, error) {
	body = io.LimitReader(body, int64(most))
	if !IsStream(h) {
		return io.ReadAll(body)
	}
	for events := NewEventReader(body, most); ; {
		e, err := events.Next()
		if err != nil {
			return nil, err
		}
		if len(e.Data) > 0 && IsAnswer(e.Data) {
			return e.Data, nil
		}
	}
}
