package mcp

import (
	"cmp"
	"slices"
)

// metaSubscription names the listen request that a notification belongs to (MCP 2026-07-28, subscriptions).
const metaSubscription = "io.modelcontextprotocol/subscriptionId"

// metaLogLevel asks for the log messages of one request (MCP 2026-07-28, logging).
const metaLogLevel = "io.modelcontextprotocol/logLevel"

// metaCapabilities must be in every request (MCP 2026-07-28, basic/index, "_meta").
const metaCapabilities = "io.modelcontextprotocol/clientCapabilities"

// Labelled is one message with the members by which requests are told apart. Whoever lets several clients share one
// pipe must replace them, since clients count from 1 alike, and give them back as they were, type included.
type Labelled struct {
	Kind   Kind
	Method string
	Failed int // the code of an error response; 0 where there is none

	ID           Label // of the message itself
	Request      Label // params.requestId, of notifications/cancelled
	Progress     Label // params._meta.progressToken of a request, params.progressToken of notifications/progress
	Subscription Label // params._meta or result._meta, the subscriptionId
	URI          Token // params.uri
	LogLevel     Token // params._meta, the logLevel
	Version      Token // params._meta, the protocolVersion
	Capabilities Token // params._meta, the clientCapabilities

	raw []byte
}

// Label is one member's value and where it stands; its Token is nil where the message lacks it.
type Label struct {
	Token
	from int
}

// Part is one of the messages that came together. Where it is JSON but no message, Err says why.
type Part struct {
	Labelled
	Err error
}

// ParseLabelled reads one message as strictly as Parse does, but for names that it does not look at.
func ParseLabelled(raw []byte) (Labelled, error) {
	parts, batch, err := ParseBatch(raw)
	if err == nil && batch {
		err = invalid("a batch")
	}
	if err != nil {
		return Labelled{}, err
	}
	return parts[0].Labelled, parts[0].Err
}

// ParseBatch reads the messages of a JSON array (2025-03-26), or the only one, and tells which it is. Each is read as
// ParseLabelled reads it; an error means that not all of raw is JSON.
func ParseBatch(raw []byte) (parts []Part, batch bool, err error) {
	if err := checkEncoding(raw); err != nil {
		return nil, false, err
	}
	p := labeller{scanner: scanner{in: raw}}
	if batch = p.peek() == '['; batch {
		err = p.array(func() error {
			if len(parts) == maxBatch {
				return p.errorf("more than %d messages in a batch", maxBatch)
			}
			part, err := p.part()
			parts = append(parts, part)
			return err
		})
	} else {
		parts = make([]Part, 1)
		parts[0], err = p.part()
	}
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return nil, false, err
	}
	return parts, batch, nil
}

// Change is a new value for a label.
type Change struct {
	Label Label
	With  Token
}

// Raw is the message's bytes, as they came.
func (m *Labelled) Raw() []byte { return m.raw }

// Relabel returns the message on one line, with labels changed, in memory of its own that has room for a line end. Labels
// that the message lacks are passed over. Line ends can only stand between tokens of JSON, where a space means the same.
func (m *Labelled) Relabel(changes ...Change) []byte {
	changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Label.Token == nil })
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Label.from, b.Label.from) })
	size := len(m.raw) + 1
	for _, c := range changes {
		size += len(c.With)
	}
	out, pos := make([]byte, 0, size), 0
	for _, c := range changes {
		out = append(append(out, m.raw[pos:c.Label.from]...), c.With...)
		pos = c.Label.from + len(c.Label.Token)
	}
	out = append(out, m.raw[pos:]...)
	for i, c := range out {
		if c == '\n' || c == '\r' {
			out[i] = ' '
		}
	}
	return out
}

type labeller struct {
	scanner
	start       int // of the message
	out         Labelled
	asks, tells Label // the progress tokens of a request's _meta, and of a notification's params
}

func (p *labeller) label(to *Label) error {
	p.space()
	to.from = p.pos - p.start
	var err error
	to.Token, err = p.value()
	return err
}

// part takes one value and reads it as a message. An error means that it is no JSON.
func (p *labeller) part() (part Part, err error) {
	first := p.peek()
	p.start, p.out, p.asks, p.tells = p.pos, Labelled{}, Label{}, Label{}
	if first == '{' {
		part.Err, err = p.message()
	} else {
		part.Err = p.unexpected()
		_, err = p.value()
	}
	part.Labelled = p.out
	part.raw = p.in[p.start:p.pos:p.pos]
	return part, err
}

// message takes an object. What it lacks to be a message is the first error, what it lacks to be JSON the second.
func (p *labeller) message() (no, err error) {
	var method, result, failure Token
	err = p.object(func(name string) (err error) {
		switch name {
		case "id":
			err = p.label(&p.out.ID)
		case "method":
			method, err = p.value()
		case "params":
			err = p.within(p.params)
		case "result":
			start := p.pos
			err = p.within(p.result)
			result = p.in[start:p.pos]
		case "error":
			start := p.pos
			err = p.within(p.failure)
			failure = p.in[start:p.pos]
		default:
			_, err = p.value()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m := Message{ID: p.out.ID.Token}
	if no := m.classify(method, result, failure); no != nil {
		return no, nil
	}
	p.out.Kind, p.out.Method = m.Kind, m.Method
	switch m.Kind {
	case Request:
		p.out.Progress = p.asks
	case Notification:
		p.out.Progress = p.tells
	}
	return nil, nil
}

// within takes an object by member, and any other value as it is.
func (p *labeller) within(member func(name string) error) error {
	if p.peek() != '{' {
		_, err := p.value()
		return err
	}
	return p.object(member)
}

func (p *labeller) params(name string) (err error) {
	switch name {
	case "requestId":
		return p.label(&p.out.Request)
	case "progressToken":
		return p.label(&p.tells)
	case "uri":
		p.out.URI, err = p.value()
		return err
	case "_meta":
		return p.within(p.meta)
	}
	_, err = p.value()
	return err
}

func (p *labeller) result(name string) error {
	if name == "_meta" {
		return p.within(p.meta)
	}
	_, err := p.value()
	return err
}

func (p *labeller) failure(name string) error {
	t, err := p.value()
	if name == "code" {
		p.out.Failed = integer(t)
	}
	return err
}

func (p *labeller) meta(name string) (err error) {
	switch name {
	case "progressToken":
		return p.label(&p.asks)
	case metaSubscription:
		return p.label(&p.out.Subscription)
	case metaLogLevel:
		p.out.LogLevel, err = p.value()
	case metaVersion:
		p.out.Version, err = p.value()
	case metaCapabilities:
		p.out.Capabilities, err = p.value()
	default:
		_, err = p.value()
	}
	return err
}

// integer reads a small whole number; 0 where the token is none.
func integer(t Token) int {
	n, negative := 0, false
	for i, c := range t {
		switch {
		case c == '-' && i == 0:
			negative = true
		case c < '0' || c > '9' || n > 1<<30:
			return 0
		default:
			n = 10*n + int(c-'0')
		}
	}
	if negative {
		return -n
	}
	return n
}
