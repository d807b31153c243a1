package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/mcp"
)

// client is a person's at one server. It does what a well-behaved client would not.
type client struct {
	http    *http.Client
	url     string
	token   string
	session string // of the legacy era; a client without one is of the modern era
	accept  string
}

// The people of the development issuer. What one may ask for is limited, so rows that ask for much are different people's.
const (
	alice = "alice"
	bob   = "bob"
	carol = "carol"
)

const (
	acceptAll  = "application/json, text/event-stream"
	acceptJSON = "application/json"
)

func (r *rig) client(ctx context.Context, user, server string) (*client, error) {
	token, err := r.system.Token(ctx, user, server)
	return &client{http: r.http, url: r.system.Resource(server), token: token, accept: acceptAll}, err
}

// join is client, and begins a session.
func (r *rig) join(ctx context.Context, user, server string) (*client, error) {
	c, err := r.client(ctx, user, server)
	if err != nil {
		return nil, err
	}
	got, err := c.post(ctx, initialize)
	if err != nil {
		return nil, err
	}
	c.session = got.header.Get(mcp.HeaderSession)
	if got.status != http.StatusOK || c.session == "" {
		return nil, fmt.Errorf("initialize: %s", got)
	}
	return c, nil
}

const (
	initialize = `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},` +
		`"clientInfo":{"name":"hostile","version":"1"}}}`
	modernMeta   = `"io.modelcontextprotocol/protocolVersion":"` + mcp.ModernVersion + `","io.modelcontextprotocol/clientCapabilities":{}`
	progressMeta = `"progressToken":1`
	noArguments  = "{}"
)

// toolCall is a call's body.
func toolCall(tool, arguments, meta string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{%s}}}`, tool, arguments, meta)
}

// open sends a request, and returns when the answer begins.
func (c *client) open(ctx context.Context, method, body string, headers map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", c.accept)
	if c.session != "" {
		req.Header.Set(mcp.HeaderSession, c.session)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return c.http.Do(req)
}

func (c *client) post(ctx context.Context, body string) (answer, error) {
	return c.whole(ctx, http.MethodPost, body, nil)
}

// whole sends a request and reads the answer to its end.
func (c *client) whole(ctx context.Context, method, body string, headers map[string]string) (answer, error) {
	began := time.Now()
	resp, err := c.open(ctx, method, body, headers)
	if err != nil {
		return answer{}, err
	}
	return read(resp, began), nil
}

// call calls a tool in the client's session.
func (c *client) call(ctx context.Context, tool, arguments string) (answer, error) {
	return c.post(ctx, toolCall(tool, arguments, ""))
}

// callModern calls a tool without a session.
func (c *client) callModern(ctx context.Context, tool, arguments string) (answer, error) {
	began := time.Now()
	resp, err := c.openModern(ctx, tool, arguments, "")
	if err != nil {
		return answer{}, err
	}
	return read(resp, began), nil
}

// openModern is callModern until the answer begins. Meta is what _meta holds besides what it must.
func (c *client) openModern(ctx context.Context, tool, arguments, meta string) (*http.Response, error) {
	if meta != "" {
		meta = "," + meta
	}
	return c.open(ctx, http.MethodPost, toolCall(tool, arguments, modernMeta+meta), map[string]string{
		mcp.HeaderVersion: mcp.ModernVersion, mcp.HeaderMethod: "tools/call", mcp.HeaderName: tool})
}

// later is post for who does something else meanwhile. An answer without a status is none.
func (c *client) later(ctx context.Context, body string) <-chan answer {
	over := make(chan answer, 1)
	go func() {
		got, err := c.post(ctx, body)
		if err != nil {
			got = answer{cut: err}
		}
		over <- got
	}()
	return over
}

// leave ends the session.
func (c *client) leave(ctx context.Context) (answer, error) {
	return c.whole(ctx, http.MethodDelete, "", nil)
}

// answer is what came back.
type answer struct {
	status   int
	header   http.Header
	stream   bool
	messages []message
	cut      error // why it is not whole
	took     time.Duration
}

// message is what is looked at of one.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	} `json:"result"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (m message) text() string {
	if len(m.Result.Content) == 0 {
		return ""
	}
	return m.Result.Content[0].Text
}

// maxAnswer bounds a message that is read, in bytes.
const maxAnswer = 1 << 20

// read reads an answer to its end.
func read(resp *http.Response, began time.Time) answer {
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if a.stream = kind == "text/event-stream"; a.stream {
		events := mcp.NewEventReader(resp.Body, maxAnswer)
		for a.cut == nil {
			var e mcp.Event
			if e, a.cut = events.Next(); a.cut == nil && len(e.Data) > 0 {
				a.take(e.Data)
			}
		}
		if errors.Is(a.cut, io.EOF) {
			a.cut = nil
		}
	} else {
		var body []byte
		if body, a.cut = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); a.cut == nil && len(bytes.TrimSpace(body)) > 0 {
			a.take(body)
		}
	}
	a.took = time.Since(began)
	return a
}

func (a *answer) take(data []byte) {
	var m message
	if a.cut = json.Unmarshal(data, &m); a.cut == nil {
		a.messages = append(a.messages, m)
	}
}

// last is the last message, empty where there is none.
func (a answer) last() message {
	if len(a.messages) == 0 {
		return message{}
	}
	return a.messages[len(a.messages)-1]
}

// String says status, error or result, and time.
func (a answer) String() string {
	var b strings.Builder
	fmt.Fprint(&b, a.status)
	if a.stream {
		fmt.Fprintf(&b, " stream of %d", len(a.messages))
	}
	switch last := a.last(); {
	case a.cut != nil:
		fmt.Fprintf(&b, " cut off")
	case last.Error != nil:
		fmt.Fprintf(&b, " %d %.60q", last.Error.Code, last.Error.Message)
	case last.text() != "":
		fmt.Fprintf(&b, " %.20q", last.text())
	}
	fmt.Fprintf(&b, " in %d ms", a.took.Milliseconds())
	return b.String()
}
