// Package mcp is the wire format of the Model Context Protocol as a pass-through needs it: JSON-RPC messages, HTTP
// headers and event streams are read once, strictly, to decide on them, and travel on as the bytes they came in.
//
// It is no MCP implementation: unknown methods and fields are not its business, and it never re-encodes a message.
// Revisions 2025-03-26 to 2025-11-25 are called legacy, 2026-07-28 and later modern.
package mcp

import (
	"fmt"
)

// JSON-RPC 2.0 error codes (§5.1), and those of MCP that are answered here.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeUnavailable    = -32000 // the gateway or shim cannot serve the call now
	CodeRefused        = -32001 // not signed in, not admitted, refused by a policy; also the lost session of the SDKs
	CodeElicitURL      = -32042 // MCP 2025-11-25, elicitation: the person must do something at a URL first
	CodeHeaderMismatch = -32020 // MCP 2026-07-28, transports: a header is missing or differs from the body
	CodeCapability     = -32021 // MCP 2026-07-28, transports: a capability that the client did not declare
	CodeVersion        = -32022 // MCP 2026-07-28, versioning: a revision that the server does not speak
)

// maxBatch bounds the messages of one batch (2025-03-26).
const maxBatch = 100

// Kind says what a message is.
type Kind uint8

// The kinds of JSON-RPC messages.
const (
	Request Kind = iota
	Notification
	Response
)

// Body is what one POST holds: one message, or a batch of them.
type Body struct {
	Messages []Message
	Batch    bool
}

// RequestIDs are the ids of the requests among the messages, which wait for an answer each; nil where there is none.
func (b *Body) RequestIDs() (ids []Token) {
	for i := range b.Messages {
		if m := &b.Messages[i]; m.Kind == Request {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Message is one JSON-RPC message. Its tokens are parts of the bytes that were parsed.
type Message struct {
	Kind   Kind
	Raw    Token
	ID     Token // nil for notifications
	Method string
	Params Params
}

// Params are those members of a message's params that something is decided on or recorded by. nil where absent.
type Params struct {
	Name          Token // tools/call, prompts/get
	URI           Token // resources/…
	TaskID        Token // tasks/…
	Task          Token // asks for a task (2025-11-25)
	Arguments     Token
	ClientName    Token // clientInfo.name, of initialize or of _meta
	ClientVersion Token
	MetaVersion   Token   // _meta["io.modelcontextprotocol/protocolVersion"]
	RefType       Token   // completion/complete
	RefName       Token   // of ref/prompt
	RefURI        Token   // of ref/resource
	Subscriptions []Token // subscriptions/listen: notifications.resourceSubscriptions
	TaskIDs       []Token // subscriptions/listen: notifications.taskIds
	Capabilities  Token   // _meta["io.modelcontextprotocol/clientCapabilities"]
}

// Names in _meta: MCP 2026-07-28, basic/index, "_meta".
const (
	metaVersion    = "io.modelcontextprotocol/protocolVersion"
	metaClientInfo = "io.modelcontextprotocol/clientInfo"
)

// Parse reads the body of a POST. It refuses what two parsers could read differently: duplicate names, names that
// differ from one of the protocol's only in case or underscores, __proto__ where something is decided on, invalid UTF-8,
// a byte order mark, bytes after the value; and what no message is. Every error is an *Error with status 400.
func Parse(body []byte) (Body, error) {
	if err := checkEncoding(body); err != nil {
		return Body{}, badJSON(err)
	}
	p := parser{scanner: scanner{in: body}}
	var b Body
	var err error
	if p.peek() == '[' {
		b.Batch = true
		err = p.array(func() error { return p.add(&b) })
	} else {
		err = p.add(&b)
	}
	if err == nil {
		err = p.end()
	}
	if err == nil && len(b.Messages) == 0 {
		err = invalid("an empty batch")
	}
	if e, ok := err.(*Error); ok {
		return Body{}, e
	} else if err != nil {
		return Body{}, badJSON(err)
	}
	return b, nil
}

func badJSON(err error) *Error {
	return &Error{Status: 400, Code: CodeParse, Message: "Parse error: " + err.Error()}
}

func invalid(format string, args ...any) *Error {
	return &Error{Status: 400, Code: CodeInvalidRequest, Message: "Invalid request: " + fmt.Sprintf(format, args...)}
}

type parser struct{ scanner }

// add takes one message.
func (p *parser) add(b *Body) error {
	if len(b.Messages) == maxBatch {
		return invalid("more than %d messages in a batch", maxBatch)
	}
	if p.peek() != '{' {
		if _, err := p.value(); err != nil {
			return err
		}
		return invalid("a message is a JSON object")
	}
	m, err := p.message()
	if err != nil {
		return err
	}
	b.Messages = append(b.Messages, m)
	return nil
}

func (p *parser) message() (m Message, err error) {
	start := p.pos
	var version, method, result, failure Token
	err = p.object(func(name string) (err error) {
		switch name {
		case "jsonrpc":
			version, err = p.value()
		case "id":
			m.ID, err = p.value()
		case "method":
			method, err = p.value()
		case "params":
			err = p.params(&m.Params)
		case "result":
			result, err = p.value()
		case "error":
			failure, err = p.value()
		default:
			err = p.other(name, "jsonrpc", "id", "method", "params", "result", "error")
		}
		return err
	})
	if err != nil {
		return m, err
	}
	m.Raw = Token(p.in[start:p.pos:p.pos])
	if v, _ := version.Text(); v != "2.0" {
		return m, invalid(`"jsonrpc" must be "2.0"`)
	}
	return m, m.classify(method, result, failure)
}

// classify finds out the kind, and refuses what is of no kind or of two: JSON-RPC 2.0 §4 and §5.
func (m *Message) classify(method, result, failure Token) error {
	if method == nil {
		if (result == nil) == (failure == nil) {
			return invalid("neither a request nor a response")
		}
		m.Kind = Response
	} else {
		var ok bool
		if m.Method, ok = method.Text(); !ok || m.Method == "" {
			return invalid(`"method" must be text`)
		}
		if result != nil || failure != nil {
			return invalid("both a request and a response")
		}
		if m.ID == nil {
			m.Kind = Notification
			return nil
		}
	}
	if m.ID == nil {
		return invalid(`a response without "id"`)
	}
	if c := m.ID[0]; c != '"' && c != '-' && (c < '0' || c > '9') && (m.Kind == Request || string(m.ID) != "null") {
		return invalid(`"id" must be text or a number`)
	}
	return nil
}

// other takes a member that nothing is decided on, unless some reader would take it for one that is.
func (p *parser) other(name string, known ...string) error {
	if name == prototype {
		return invalid("a member %q", prototype)
	}
	for _, k := range known {
		if name != k && twin(name, k) {
			return invalid("%.40q must be written %q", name, k)
		}
	}
	_, err := p.value()
	return err
}

func (p *parser) params(out *Params) error {
	if p.peek() != '{' {
		t, err := p.value()
		if err == nil && string(t) != "null" {
			err = invalid(`"params" must be an object`)
		}
		return err
	}
	var hello Params
	err := p.object(func(name string) (err error) {
		switch name {
		case "name":
			out.Name, err = p.value()
		case "uri":
			out.URI, err = p.value()
		case "taskId":
			out.TaskID, err = p.value()
		case "task":
			out.Task, err = p.value()
		case "arguments":
			out.Arguments, err = p.value()
		case "clientInfo":
			err = p.clientInfo(&hello)
		case "_meta":
			err = p.meta(out)
		case "ref":
			err = p.ref(out)
		case "notifications":
			err = p.subscriptions(out)
		default:
			err = p.other(name, "name", "uri", "taskId", "task", "arguments", "protocolVersion", "clientInfo", "_meta", "ref",
				"notifications", "requestId", "requestState", "inputResponses")
		}
		return err
	})
	// Whatever comes last: _meta says it of this request, clientInfo once for a session.
	out.ClientName, out.ClientVersion = either(out.ClientName, hello.ClientName), either(out.ClientVersion, hello.ClientVersion)
	return err
}

func either(a, b Token) Token {
	if a != nil {
		return a
	}
	return b
}

// members takes an object and hands the values of the known names to out, in their order; any other value passes.
func (p *parser) members(out []*Token, known ...string) error {
	if p.peek() != '{' {
		_, err := p.value()
		return err
	}
	return p.object(func(name string) (err error) {
		for i, k := range known {
			if name == k {
				*out[i], err = p.value()
				return err
			}
		}
		return p.other(name, known...)
	})
}

func (p *parser) clientInfo(out *Params) error {
	return p.members([]*Token{&out.ClientName, &out.ClientVersion}, "name", "version")
}

func (p *parser) ref(out *Params) error {
	return p.members([]*Token{&out.RefType, &out.RefName, &out.RefURI}, "type", "name", "uri")
}

func (p *parser) meta(out *Params) error {
	if p.peek() != '{' {
		_, err := p.value()
		return err
	}
	return p.object(func(name string) (err error) {
		switch name {
		case metaVersion:
			out.MetaVersion, err = p.value()
		case metaClientInfo:
			err = p.clientInfo(out)
		case metaCapabilities:
			out.Capabilities, err = p.value()
		default:
			err = p.other(name, metaVersion, metaClientInfo, metaCapabilities)
		}
		return err
	})
}

// subscriptions takes params.notifications of subscriptions/listen.
func (p *parser) subscriptions(out *Params) error {
	if p.peek() != '{' {
		_, err := p.value()
		return err
	}
	const uris, tasks = "resourceSubscriptions", "taskIds"
	return p.object(func(name string) error {
		to := &out.Subscriptions
		switch name {
		case uris:
		case tasks:
			to = &out.TaskIDs
		default:
			return p.other(name, uris, tasks)
		}
		if p.peek() != '[' {
			t, err := p.value()
			if err == nil && string(t) != "null" {
				err = invalid("%q must be an array", name) // a reader may take a text for an array of letters
			}
			return err
		}
		return p.array(func() error {
			t, err := p.value()
			*to = append(*to, t)
			return err
		})
	})
}
