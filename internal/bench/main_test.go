package main

import (
	"testing"

	"mcpgateway/internal/measure"
)

// A part that does not exist is no part that met everything.
func TestUnknownPart(t *testing.T) {
	if err := run(t.Context(), &measure.Printer{}, settings{only: "listener"}); err == nil {
		t.Error("measured nothing, and is content")
	}
}
