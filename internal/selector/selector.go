// Package selector says which messages a filter is asked about: method[?name=PATTERN][&direction=request|response].
//
// It knows names and patterns only; what a message is called is its caller's to find out.
package selector

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mcpgateway/internal/policy"
)

// Direction says which way a message goes.
type Direction uint8

// The directions.
const (
	Request  Direction = iota // from the client: requests, notifications, and replies to the server's own requests
	Response                  // from the server: answers, notifications, and its own requests
)

// Directions is how many there are.
const Directions = 2

// Selector selects messages. The zero Selector selects none.
type Selector struct {
	method    policy.Pattern
	name      *policy.Pattern // nil: whatever the message names, if anything
	direction [Directions]bool
}

// maxText bounds a selector, in bytes.
const maxText = 4096

// maxMethod bounds a method's pattern, in bytes.
const maxMethod = 128

// isMethod tells whether text can be a method, or a pattern of one. It is no regular expression: this is linked into what
// starts cold.
func isMethod(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("_/$.*-", c) < 0 {
			return false
		}
	}
	return text != "" && len(text) <= maxMethod
}

// Parse reads a selector. Both parts after the method may be left out: without name it is about every name, without
// direction about both. A star stands for any run of characters, in the method too. What a name must write otherwise, such
// as & and ?, is written %XX, as in a URL.
func Parse(text string) (Selector, error) {
	var s Selector
	if len(text) > maxText {
		return s, fmt.Errorf("a selector is longer than %d bytes", maxText)
	}
	method, rest := text, ""
	at := strings.IndexAny(text, "?&") // the first & may stand without a ?, as in tools/call&direction=response
	if at >= 0 {
		method, rest = text[:at], text[at+1:]
	}
	if !isMethod(method) {
		return s, fmt.Errorf("%.60q is no method, nor a pattern of one", method)
	}
	var err error
	if s.method, err = policy.ParsePattern(method); err != nil {
		return s, err
	}
	if at < 0 {
		s.direction = [Directions]bool{true, true}
		return s, nil
	}
	return s, s.parameters(rest)
}

// parameters reads what follows the method.
func (s *Selector) parameters(text string) error {
	for part := range strings.SplitSeq(text, "&") {
		key, value, _ := strings.Cut(part, "=")
		switch {
		case key == "name" && s.name == nil:
			name, err := url.PathUnescape(value)
			if err != nil || strings.ContainsRune(value, '?') {
				return fmt.Errorf("%.60q is no name: write ? and & and %% as %%3F, %%26 and %%25", value)
			}
			pattern, err := policy.ParsePattern(name)
			if err != nil {
				return fmt.Errorf("name: %w", err)
			}
			s.name = &pattern
		case part == "direction=request" && s.direction == [Directions]bool{}:
			s.direction[Request] = true
		case part == "direction=response" && s.direction == [Directions]bool{}:
			s.direction[Response] = true
		default:
			return fmt.Errorf("%.60q is neither name=PATTERN nor direction=request nor direction=response, or it stands twice", part)
		}
	}
	if s.direction == [Directions]bool{} {
		s.direction = [Directions]bool{true, true}
	}
	return nil
}

// Message is what a selector must know of a message.
type Message struct {
	Method string
	// Names is what the message names: a tool, a prompt, URIs. One that names nothing has the empty name.
	Names []string
	// Unknown marks an answer of which nobody knows any more what it answers. It could be anything, so whoever is asked
	// about some answers is asked about it.
	Unknown bool
}

// Selects tells whether a message is selected.
func (s *Selector) Selects(d Direction, m Message) bool {
	if !s.direction[d] {
		return false
	}
	if m.Unknown {
		return true
	}
	if !s.method.Match(m.Method) {
		return false
	}
	if s.name == nil {
		return true
	}
	for _, name := range m.Names {
		if s.name.Match(name) {
			return true
		}
	}
	return false
}

// Goes tells whether the selector can select a message that goes this way.
func (s *Selector) Goes(d Direction) bool { return s.direction[d] }

// ParseAll reads the selectors of one filter. There must be one.
func ParseAll(texts []string) ([]Selector, error) {
	if len(texts) == 0 {
		return nil, errors.New("no selector")
	}
	all := make([]Selector, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = Parse(text); err != nil {
			return nil, err
		}
	}
	return all, nil
}
