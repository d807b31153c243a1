package audit

import (
	"encoding/json"
	"fmt"

	"mcpgateway/internal/mcp"
)

// Settings say what of a server's exchanges is kept. The zero Settings keep metadata.
type Settings struct {
	Bodies   Bodies   `json:"bodies,omitempty"`
	MaxBody  int      `json:"maxBody,omitempty"`  // bytes that are kept of each body
	Redact   []string `json:"redact,omitempty"`   // paths of what is taken out of bodies (mcp.Redactor)
	Required bool     `json:"required,omitempty"` // no answer without a record outside the pod
}

// Bodies says how much is kept.
type Bodies string

// The kinds of Bodies.
const (
	BodiesNone     Bodies = "none"     // who called what, and what became of it
	BodiesMetadata Bodies = "metadata" // and headers; where empty
	BodiesFull     Bodies = "full"     // and bodies
)

// MaxBody is how many bytes of a body can be kept at most. Escaped in JSON it may be six times as much.
const MaxBody = 256 << 10

// Keeping is Settings that can be used.
type Keeping struct {
	Headers  bool
	Body     int // bytes; 0: none
	Required bool
	redactor *mcp.Redactor // nil: everything stays
}

// Compile checks Settings; nil are the zero ones.
func Compile(s *Settings) (*Keeping, error) {
	if s == nil {
		return &Keeping{Headers: true}, nil
	}
	k := &Keeping{Headers: s.Bodies != BodiesNone, Required: s.Required}
	switch s.Bodies {
	case BodiesNone, BodiesMetadata, "":
		return k, nil
	case BodiesFull:
	default:
		return nil, fmt.Errorf("audit: bodies %.20q", s.Bodies)
	}
	if k.Body = s.MaxBody; k.Body <= 0 || k.Body > MaxBody {
		return nil, fmt.Errorf("audit: bodies of %d bytes; between 1 and %d are possible", k.Body, MaxBody)
	}
	if len(s.Redact) > 0 {
		var err error
		if k.redactor, err = mcp.NewRedactor(s.Redact); err != nil {
			return nil, fmt.Errorf("audit: redact: %w", err)
		}
	}
	return k, nil
}

// Excerpt is the beginning of a body.
type Excerpt struct {
	Text []byte
	Cut  bool // a part is missing
}

// Keep makes of a body what a record holds, at most Body bytes of it, and reports whether anything is missing but what
// is redacted.
func (k *Keeping) Keep(e Excerpt) (kept json.RawMessage, truncated bool) {
	if len(e.Text) > k.Body {
		e = Excerpt{e.Text[:k.Body], true}
	}
	if k.redactor != nil {
		text, whole := k.redactor.Redact(e.Text)
		e = Excerpt{text, e.Cut || !whole}
	}
	switch {
	case len(e.Text) == 0:
		return nil, e.Cut
	case !e.Cut && json.Valid(e.Text):
		return json.RawMessage(e.Text), false
	}
	text, err := json.Marshal(string(e.Text))
	if err != nil { // a string always has a JSON form
		return nil, true
	}
	return text, e.Cut
}
