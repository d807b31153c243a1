// Package secret holds values that must not be read where they are only passed by: tokens, passwords, keys.
//
// It keeps them out of logs, errors and JSON by mistake. It hides nothing from code that asks for a value, and does not
// overwrite memory: the runtime may have copied a value anyway.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands wherever a Text is printed.
const redacted = "[secret]"

// Text is a secret text. Its zero value is the empty one. It is a pointer, because package fmt asks no method of a field
// that is not exported: of such a one it prints an address.
type Text struct{ value *string }

// New makes a Text.
func New(value string) Text { return Text{&value} }

// Reveal is the value, for where it is used.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Empty tells whether there is nothing to hide.
func (t Text) Empty() bool { return t.Reveal() == "" }

// String implements fmt.Stringer.
func (t Text) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (t Text) GoString() string { return redacted }

// Format implements fmt.Formatter, for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON, XML and YAML ask.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
