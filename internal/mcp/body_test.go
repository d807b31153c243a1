package mcp

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadBody(t *testing.T) {
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
		status int
	}{
		{"whole", strings.NewReader("{}"), 2, 0},
		{"chunked", strings.NewReader("{}"), -1, 0},
		{"none", strings.NewReader(""), 0, 0},
		{"largest", strings.NewReader(strings.Repeat("x", MaxBody)), MaxBody, 0},
		{"announced too large", strings.NewReader(""), MaxBody + 1, 413},
		{"chunked too large", strings.NewReader(strings.Repeat("x", MaxBody+1)), -1, 413},
		{"breaks off", iotest.ErrReader(errors.New("reset")), 2, 408},
	} {
		got, err := ReadBody(&http.Request{Body: io.NopCloser(c.body), ContentLength: c.length})
		var e *Error
		switch {
		case c.status == 0 && (err != nil || c.length >= 0 && int64(len(got)) != c.length):
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		case c.status != 0 && (!errors.As(err, &e) || e.Status != c.status):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What is announced costs no memory before it is there.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) {
	r, err := http.NewRequest("POST", "/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = MaxBody
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			r.Body = io.NopCloser(strings.NewReader("{}"))
			_, _ = ReadBody(r)
		}
	})
	if got := result.AllocedBytesPerOp(); got > 200<<10 {
		t.Errorf("%d bytes for a body that never came", got)
	}
}
