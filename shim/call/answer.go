package call

import (
	"encoding/json"

	"mcpgateway/internal/audit"
)

// answer is what a record will say of the answer's body. Of it, only as much is kept as a record may hold.
type answer struct {
	bytes  int
	text   []byte // of a body that is no stream
	events []audit.Excerpt
	kept   int
	cut    bool
}

// Answers notes a part of the answer's body before it is sent.
func (x *Exchange) Answers(p []byte) {
	x.answer.bytes += len(p)
	part := x.answer.take(p, x.Rules.Audit.Body)
	x.answer.text = append(x.answer.text, part...)
}

// AnswersEvent notes an event of a stream before it is sent: its size on the wire, and its data.
func (x *Exchange) AnswersEvent(size int, data []byte) {
	x.answer.bytes += size
	if len(data) == 0 || x.Rules.Audit.Body == 0 {
		return
	}
	part := x.answer.take(data, x.Rules.Audit.Body)
	if len(part) > 0 {
		x.answer.events = append(x.answer.events, audit.Excerpt{Text: append([]byte(nil), part...), Cut: len(part) < len(data)})
	}
}

// take returns as much of p as there is room for.
func (a *answer) take(p []byte, most int) []byte {
	if most == 0 {
		return nil
	}
	if room := most - a.kept; len(p) > room {
		p, a.cut = p[:room], true
	}
	a.kept += len(p)
	return p
}

// body is what the record holds: of a stream, an array of the messages.
func (a *answer) body(keep *audit.Keeping) (body json.RawMessage, truncated bool) {
	if len(a.events) == 0 {
		if a.kept == 0 {
			return nil, a.cut
		}
		return keep.Keep(audit.Excerpt{Text: a.text, Cut: a.cut})
	}
	messages := make([]json.RawMessage, 0, len(a.events))
	truncated = a.cut
	for _, e := range a.events {
		kept, cut := keep.Keep(e)
		if truncated = truncated || cut; kept != nil {
			messages = append(messages, kept)
		}
	}
	body, err := json.Marshal(messages)
	return body, truncated || err != nil
}

func excerpt(keep *audit.Keeping, body []byte) (json.RawMessage, bool) {
	if keep.Body == 0 {
		return nil, false
	}
	return keep.Keep(audit.Excerpt{Text: body})
}
