// Package verdict is what a filter is asked and what it answers: the contract that the shim's filter stage and the
// converter of webhooks share, and that filters of other people speak.
//
// Both are one JSON object, {"accept", "mutated", "message", "reason"}: the arguments of a tools/call and its result. The
// package reads and writes it; it decides nothing.
package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/rules"
)

// Tool is the tool that a converter offers.
const Tool = rules.FilterTool

// MaxMessage bounds a message that a filter is asked about, in bytes. A longer one counts as one that could not be
// checked: each hop holds it several times.
const MaxMessage = 8 << 20

// Answer bounds the answer to a question of so many bytes: it may hold a mutated message twice, once as text.
func Answer(question int64) int64 { return 3*max(question, 0) + 1<<20 }

// Verdict is a filter's answer.
type Verdict struct {
	Accept  bool
	Message mcp.Token // what is to go on in the message's place; nil: the message itself
	Reason  string    // why it was refused, made fit to be shown; may be empty
}

// members are the contract's.
var members = []string{"accept", "mutated", "message", "reason"}

// Question is the contract's object about a message that nobody has judged yet.
func Question(message []byte) json.RawMessage {
	const head, tail = `{"accept":true,"mutated":false,"message":`, `,"reason":""}`
	q := make([]byte, 0, len(head)+len(message)+len(tail))
	return append(append(append(q, head...), message...), tail...)
}

// ErrNone is the error of Parse for JSON that is no verdict: an object that says neither accept nor mutated.
var ErrNone = errors.New("the answer is no verdict")

// Parse reads a verdict strictly. Members that the contract does not have are passed over.
func Parse(in []byte) (Verdict, error) {
	values, err := mcp.Members(in, members...)
	if err != nil {
		return Verdict{}, fmt.Errorf("read verdict: %w", err)
	}
	accept, mutated, message, reason := values[0], values[1], values[2], values[3]
	if accept == nil && mutated == nil {
		return Verdict{}, ErrNone
	}
	var v Verdict
	var changed bool
	if v.Accept, err = boolean("accept", accept); err != nil {
		return Verdict{}, err
	}
	if mutated != nil {
		if changed, err = boolean("mutated", mutated); err != nil {
			return Verdict{}, err
		}
	}
	if reason != nil && string(reason) != "null" {
		text, ok := reason.Text()
		if !ok {
			return Verdict{}, errors.New(`read verdict: "reason" is no text`)
		}
		v.Reason = Shown(text)
	}
	if !v.Accept || !changed {
		return v, nil
	}
	if len(message) == 0 || message[0] != '{' {
		return Verdict{}, errors.New(`read verdict: "mutated" without a message`)
	}
	v.Message = message
	return v, nil
}

func boolean(name string, t mcp.Token) (bool, error) {
	switch string(t) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("read verdict: %q must be true or false", name)
}

// JSON writes the verdict about a message as the contract has it.
func (v Verdict) JSON(message []byte) (json.RawMessage, error) {
	var out struct {
		Accept  bool            `json:"accept"`
		Mutated bool            `json:"mutated"`
		Message json.RawMessage `json:"message"`
		Reason  string          `json:"reason"`
	}
	out.Accept, out.Reason, out.Message = v.Accept, v.Reason, message
	if v.Message != nil {
		out.Mutated, out.Message = true, json.RawMessage(v.Message)
	}
	return json.Marshal(out)
}

// maxShown bounds a text of a filter that people get to see, in bytes.
const maxShown = 1000

// Shown makes a text of a filter fit to be shown and logged: no control characters, nothing that turns the direction of
// what follows, no line breaks, at most maxShown bytes.
func Shown(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsControl(r) || unicode.IsSpace(r):
			return ' '
		}
		return r
	}, text[:min(len(text), 4*maxShown)])
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) > maxShown {
		clean = strings.ToValidUTF8(clean[:maxShown], "") + "…"
	}
	return clean
}
