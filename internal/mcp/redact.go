package mcp

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of redaction paths.
const (
	maxPaths = 32
	maxSteps = 31 // each is a bit of a state
	maxPath  = 1024
)

// Redacted stands in place of a value that was taken out, as JSON.
const Redacted = `"[redacted]"`

// Redactor takes values out of messages before they are kept. Values are named by paths, a part of JSONPath (RFC 9535):
// $ is the message, of a batch each message, and after it come .name or ['name'] for a member, .* or [*] for every member
// and element, and the same after two dots for any depth: $.params.arguments.password, $..token, $.result..['api key'].
//
// Names match as lenient servers read them, whatever their case and underscores: rather too much is taken out.
type Redactor struct{ paths [][]step }

type step struct {
	name string // empty: any
	deep bool   // at any depth
}

// NewRedactor reads paths. The error says which one is none.
func NewRedactor(paths []string) (*Redactor, error) {
	if len(paths) > maxPaths {
		return nil, fmt.Errorf("more than %d paths", maxPaths)
	}
	r := &Redactor{}
	for _, text := range paths {
		steps, err := parsePath(text)
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", text, err)
		}
		r.paths = append(r.paths, steps)
	}
	return r, nil
}

var errPath = errors.New("no path: write $ and then .name, ['name'], .* or [*]; two dots look at any depth, as in $..token")

func parsePath(text string) ([]step, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || len(text) > maxPath || !utf8.ValidString(text) {
		return nil, errPath
	}
	var steps []step
	for rest != "" {
		var s step
		if s, rest, ok = parseStep(rest); !ok {
			return nil, errPath
		}
		steps = append(steps, s)
	}
	switch {
	case len(steps) == 0:
		return nil, errors.New("would take out whole messages: use bodies: metadata")
	case len(steps) > maxSteps:
		return nil, fmt.Errorf("more than %d steps", maxSteps)
	}
	return steps, nil
}

func parseStep(text string) (s step, rest string, ok bool) {
	dotted := false
	if rest, ok = strings.CutPrefix(text, ".."); ok {
		s.deep, dotted = true, !strings.HasPrefix(rest, "[")
	} else if rest, ok = strings.CutPrefix(text, "."); ok {
		dotted = true
	} else {
		rest = text
	}
	if !dotted {
		return parseBracket(s, rest)
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	if s.name, rest = rest[:end], rest[end:]; s.name == "*" {
		s.name = ""
		return s, rest, true
	}
	return s, rest, s.name != "" && !strings.ContainsAny(s.name, "]'\"*?@$\\ \t\r\n")
}

// parseBracket reads [*] and ['name'], with \' and \\ in the name.
func parseBracket(s step, text string) (_ step, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "[*]"); ok {
		return s, rest, true
	}
	if rest, ok = strings.CutPrefix(text, "['"); !ok {
		return s, text, false
	}
	var name strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\'':
			s.name = name.String()
			rest, ok = strings.CutPrefix(rest[i+1:], "]")
			return s, rest, ok && s.name != ""
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '\'' || rest[i+1] == '\\'):
			i++
			name.WriteByte(rest[i])
		case c == '\\' || c < ' ':
			return s, rest, false
		default:
			name.WriteByte(c)
		}
	}
	return s, rest, false
}

// Redact returns a body without what the paths name. in may be the beginning of a body; and what is no strict JSON is
// cut off where that shows, since nobody knows what is in it. It reports whether all of in could be read.
func (r *Redactor) Redact(in []byte) (out []byte, whole bool) {
	whole = true
	if err := checkEncoding(in); err != nil {
		in, whole = in[:validPrefix(in)], false
	}
	f := redaction{scanner: scanner{in: in}, paths: r.paths}
	var err error
	at := states{}
	for i := range r.paths {
		at[i] = 1
	}
	if f.peek() == '[' {
		err = f.array(func() error { return f.child(at) })
	} else {
		err = f.child(at)
	}
	if err == nil {
		err = f.end()
	}
	if err != nil {
		f.in, whole = in[:min(f.pos, len(in))], false
		if f.torn > 0 {
			f.in = in[:f.torn]
		}
	}
	return applyEdits(f.in, f.edits), whole
}

// validPrefix is the length of what is UTF-8 at the beginning of in, none where a byte order mark is.
func validPrefix(in []byte) int {
	if strings.HasPrefix(string(in[:min(3, len(in))]), "\xef\xbb\xbf") {
		return 0
	}
	n := 0
	for n < len(in) {
		r, size := utf8.DecodeRune(in[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// states are, for each path, the steps that the value in hand may be the next one of, as bits; the bit after the last
// step says that the path names the value.
type states [maxPaths]uint32

type redaction struct {
	scanner
	paths [][]step
	edits []edit
	torn  int // where a value begins that is to go and does not end; 0 where there is none: no path names what begins there
}

// child takes a value that the paths' states are known of.
func (f *redaction) child(at states) error {
	for i, steps := range f.paths {
		if at[i]>>len(steps)&1 == 1 {
			return f.remove()
		}
	}
	switch f.peek() {
	case '{':
		return f.object(func(name string) error { return f.child(f.next(at, name, true)) })
	case '[':
		return f.array(func() error { return f.child(f.next(at, "", false)) })
	}
	_, err := f.value()
	return err
}

func (f *redaction) remove() error {
	f.space()
	start := f.pos
	if _, err := f.value(); err != nil {
		f.torn = start
		return err
	}
	f.edits = append(f.edits, edit{start, f.pos, []byte(Redacted)})
	return nil
}

// next are the states of a member, or of an element.
func (f *redaction) next(at states, name string, member bool) (to states) {
	for i, steps := range f.paths {
		for j, s := range steps {
			if at[i]>>j&1 == 0 {
				continue
			}
			if s.deep {
				to[i] |= 1 << j
			}
			if s.name == "" || member && twin(name, s.name) {
				to[i] |= 1 << (j + 1)
			}
		}
	}
	return to
}
