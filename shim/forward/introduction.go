package forward

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/session"
)

// maxIntroduction bounds, in bytes, what is read of a server's answer to initialize before any of it is sent on.
const maxIntroduction = 1 << 20

// introduced is what the exchange, an initialize, and its answer said. The answer goes on as it came. Where one of the two
// cannot be read the session is one that ends with its server.
func introduced(x *call.Exchange, resp *http.Response) session.Introduction {
	params, err := introduction(x.MCP.Messages[0].Raw)
	if err != nil {
		return session.Introduction{}
	}
	answer, err := readIntroduction(resp)
	if err != nil {
		return session.Introduction{}
	}
	return session.Introduction{Params: params, Version: answer.version, Answer: answer.sum}
}

// introduction is the params of an initialize as far as a server needs them: who the client is, and what it can do.
func introduction(request mcp.Token) (string, error) {
	outer, err := mcp.Members(request, "params")
	if err != nil {
		return "", err
	}
	p, err := mcp.Members(outer[0], "protocolVersion", "capabilities", "clientInfo")
	if err != nil {
		return "", err
	}
	c, err := mcp.Members(p[2], "name", "version")
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

// introductionAnswer is what a server answered to initialize.
type introductionAnswer struct {
	sum          [8]byte
	version      string
	capabilities mcp.Token
}

// readIntroduction reads an answer to initialize, JSON or a stream, whose body is as before then.
func readIntroduction(resp *http.Response) (a introductionAnswer, err error) {
	var read bytes.Buffer
	body := resp.Body
	defer func() {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&read, body), body}
	}()
	message, err := firstAnswer(resp, io.TeeReader(io.LimitReader(body, maxIntroduction), &read))
	if err != nil {
		return a, err
	}
	outer, err := mcp.Members(message, "result")
	if err != nil || outer[0] == nil {
		return a, errors.Join(err, errors.New("the server answered initialize with no result"))
	}
	inner, err := mcp.Members(outer[0], "protocolVersion", "capabilities")
	if err != nil {
		return a, err
	}
	sum := sha256.Sum256(outer[0])
	copy(a.sum[:], sum[:])
	a.version, _ = inner[0].Text()
	a.capabilities = inner[1]
	return a, nil
}

// firstAnswer is the first message of a body that answers a request.
func firstAnswer(resp *http.Response, body io.Reader) ([]byte, error) {
	if !mcp.IsStream(resp.Header) {
		return io.ReadAll(body)
	}
	for events := mcp.NewEventReader(body, maxIntroduction); ; {
		e, err := events.Next()
		if err != nil {
			return nil, err
		}
		if len(e.Data) > 0 && mcp.IsAnswer(e.Data) {
			return e.Data, nil
		}
	}
}

// news are the methods of the notifications by which a client learns that what it knows of a server with such capabilities
// may be old (MCP 2025-11-25, tools, prompts, resources).
func (a introductionAnswer) news() (methods []string) {
	for _, list := range []string{"tools", "prompts", "resources"} {
		if has, err := mcp.Members(a.capabilities, list); err == nil && has[0] != nil {
			methods = append(methods, "notifications/"+list+"/list_changed")
		}
	}
	return methods
}
