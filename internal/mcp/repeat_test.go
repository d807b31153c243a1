package mcp

import (
	"net/http"
	"testing"
)

func TestRepeatName(t *testing.T) {
	for _, c := range []struct{ sent, name, want string }{
		{"old", "new", "new"},
		{"old", " new", "=?base64?IG5ldw==?="},
		{"old", "nü", "=?base64?bsO8?="},
		{"old", "=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="},
		{"", "new", ""},
	} {
		body, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + c.name + `"}}`))
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if c.sent != "" {
			h.Set(HeaderName, c.sent)
		}
		RepeatName(h, &body.Messages[0])
		if got := h.Get(HeaderName); got != c.want {
			t.Errorf("%q: the header is %q, want %q", c.name, got, c.want)
		}
		if got, ok := decodeHeader(h.Get(HeaderName)); c.sent != "" && (!ok || got != c.name) {
			t.Errorf("%q is read back as %q", c.name, got)
		}
	}
}
