package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting. Real messages stay below 20; parsers of servers die somewhere between 500 and 10,000.
const maxDepth = 100

// manyNames is where looking for a duplicate name turns from a scan into a map.
const manyNames = 32

// scanner reads JSON (RFC 8259) strictly: case-sensitive, no duplicate names in any object, no byte that is not
// part of the value. It exists because every common parser is lenient in its own way, and what we decide on must be
// what the server reads: encoding/json matches names regardless of case and takes the last of two, others the first.
type scanner struct {
	in    []byte
	pos   int
	depth int
	names []string // of the objects now open, innermost last
}

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %w", s.pos, fmt.Errorf(format, args...))
}

func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte after white space without taking it, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.in) {
		return s.in[s.pos]
	}
	return 0
}

// take consumes c after white space.
func (s *scanner) take(c byte) error {
	if s.peek() != c {
		return s.unexpected()
	}
	s.pos++
	return nil
}

func (s *scanner) unexpected() error {
	if s.pos >= len(s.in) {
		return s.errorf("unexpected end of JSON")
	}
	return s.errorf("unexpected %q", s.in[s.pos])
}

// end refuses anything but white space after the value.
func (s *scanner) end() error {
	if s.peek(); s.pos != len(s.in) {
		return s.errorf("bytes after the JSON value")
	}
	return nil
}

// value takes any value and returns its bytes.
func (s *scanner) value() (Token, error) {
	var err error
	c := s.peek()
	start := s.pos
	switch {
	case c == '{':
		err = s.object(func(string) error { _, err := s.value(); return err })
	case c == '[':
		err = s.array(func() error { _, err := s.value(); return err })
	case c == '"':
		err = s.text()
	case c == '-' || c >= '0' && c <= '9':
		err = s.number()
	default:
		err = s.literal()
	}
	if err != nil {
		return nil, err
	}
	return Token(s.in[start:s.pos:s.pos]), nil
}

// object takes an object and calls member for each name; member must take the value.
func (s *scanner) object(member func(name string) error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	base := len(s.names)
	defer func() { s.names = s.names[:base]; s.depth-- }()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	var many map[string]bool
	for {
		if s.peek() != '"' {
			return s.unexpected()
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		if many, err = s.unique(name, base, many); err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.unexpected()
		}
	}
}

// unique records name among those of the open object that begins at base.
func (s *scanner) unique(name string, base int, many map[string]bool) (map[string]bool, error) {
	open := s.names[base:]
	if many == nil && len(open) == manyNames {
		many = make(map[string]bool, 2*manyNames)
		for _, n := range open {
			many[n] = true
		}
	}
	duplicate := many[name]
	if many == nil {
		for _, n := range open {
			duplicate = duplicate || n == name
		}
	}
	if duplicate {
		return many, s.errorf("duplicate name %.40q", name)
	}
	if many != nil {
		many[name] = true
		return many, nil
	}
	s.names = append(s.names, name)
	return nil, nil
}

// array takes an array and calls element for each; element must take the value.
func (s *scanner) array(element func() error) error {
	if err := s.open('['); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.unexpected()
		}
	}
}

func (s *scanner) open(c byte) error {
	if s.depth == maxDepth {
		return errTooDeep
	}
	if err := s.take(c); err != nil {
		return err
	}
	s.depth++
	return nil
}

// name takes a string and decodes it.
func (s *scanner) name() (string, error) {
	start := s.pos
	if err := s.text(); err != nil {
		return "", err
	}
	name, ok := Token(s.in[start:s.pos]).Text()
	if !ok {
		return "", s.errorf("a name with an unpaired surrogate")
	}
	return name, nil
}

// text takes a string without decoding it. Most bytes of most messages are in strings.
func (s *scanner) text() error {
	i := s.pos + 1 // behind the opening quote
	for ; i < len(s.in); i++ {
		switch c := s.in[i]; {
		case c == '"':
			s.pos = i + 1
			return nil
		case c == '\\':
			s.pos = i
			if err := s.escape(); err != nil {
				return err
			}
			i = s.pos - 1
		case c < ' ':
			s.pos = i
			return s.errorf("control character in a string")
		}
	}
	s.pos = i
	return s.unexpected()
}

func (s *scanner) escape() error {
	rest := s.in[s.pos+1:]
	switch {
	case len(rest) == 0:
		s.pos++
		return s.unexpected()
	case rest[0] == 'u':
		if _, ok := hex4(rest[1:]); !ok {
			return s.errorf("invalid \\u escape")
		}
		s.pos += 6
	case strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0:
		s.pos += 2
	default:
		return s.errorf("invalid escape")
	}
	return nil
}

func (s *scanner) number() error {
	if s.in[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.in) && s.in[s.pos] == '0' {
		s.pos++
	} else if s.digits() == 0 {
		return s.unexpected()
	}
	if s.pos < len(s.in) && s.in[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.unexpected()
		}
	}
	if s.pos < len(s.in) && (s.in[s.pos] == 'e' || s.in[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.in) && (s.in[s.pos] == '+' || s.in[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return s.unexpected()
		}
	}
	return nil
}

func (s *scanner) digits() (n int) {
	for s.pos < len(s.in) && s.in[s.pos] >= '0' && s.in[s.pos] <= '9' {
		s.pos++
		n++
	}
	return n
}

func (s *scanner) literal() error {
	for _, l := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.in[s.pos:], []byte(l)) {
			s.pos += len(l)
			return nil
		}
	}
	return s.unexpected()
}

// checkEncoding refuses what a JSON text in the network may not be: RFC 8259 §8.1.
func checkEncoding(in []byte) error {
	if bytes.HasPrefix(in, []byte("\xef\xbb\xbf")) {
		return errors.New("byte order mark before the JSON value")
	}
	if !utf8.Valid(in) {
		return errors.New("not valid UTF-8")
	}
	return nil
}

// Token is the bytes of one JSON value as they came; nil where there was none.
type Token []byte

// Text decodes a JSON string. It is false where the token is no string, or holds an unpaired surrogate: parsers
// disagree on what such a string is, so nothing may be decided on it.
func (t Token) Text() (string, bool) {
	if len(t) < 2 || t[0] != '"' {
		return "", false
	}
	in := t[1 : len(t)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(in), true
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		i++
		if in[i] != 'u' {
			out = append(out, unescaped[in[i]])
			continue
		}
		r, _ := hex4(in[i+1:])
		i += 4
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(in[i+1:], []byte(`\u`)) {
				return "", false
			}
			low, _ := hex4(in[i+3:])
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return "", false
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), true
}

var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hex4 reads four hexadecimal digits.
func hex4(in []byte) (r rune, ok bool) {
	if len(in) < 4 {
		return 0, false
	}
	for _, c := range in[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
