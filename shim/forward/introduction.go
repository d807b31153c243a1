package forward

import (
	"bytes"
	"crypto/sha256"
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
	params, err := mcp.Introduction(x.MCP.Messages[0].Raw)
	if err != nil {
		return session.Introduction{}
	}
	answer, err := readIntroduction(resp)
	if err != nil {
		return session.Introduction{}
	}
	return session.Introduction{Params: params, Version: answer.version, Answer: answer.sum}
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
	message, err := mcp.FirstAnswer(resp.Header, io.TeeReader(body, &read), maxIntroduction)
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
