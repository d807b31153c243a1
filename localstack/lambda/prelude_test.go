package lambda

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpguts"
)

// The delimiter is found wherever the chunks are cut, and what follows it belongs to the body.
func TestReadPrelude(t *testing.T) {
	text := `{"statusCode":201,"headers":{"a":"b"}}` + string(delimiter) + "rest"
	for cut := range text {
		chunks := make(chan chunk, 2)
		chunks <- chunk{data: []byte(text[:cut])}
		chunks <- chunk{data: []byte(text[cut:])}
		close(chunks)
		head, rest, err := readPrelude(chunks)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		for next := range chunks {
			rest = append(rest, next.data...)
		}
		if diff := cmp.Diff(&prelude{StatusCode: 201, Headers: map[string]string{"a": "b"}}, head); diff != "" || string(rest) != "rest" {
			t.Errorf("cut at %d: %q, %s", cut, rest, diff)
		}
	}
}

// Without a delimiter no more is kept than a prelude may have, and a block.
func TestEndlessPrelude(t *testing.T) {
	chunks := chunksOf(strings.NewReader(strings.Repeat(" ", 4*block)))
	if _, _, err := readPrelude(chunks); err == nil || !strings.Contains(err.Error(), "within 16 KiB") {
		t.Error(err)
	}
	left := 0
	for next := range chunks {
		left += len(next.data)
	}
	if left != 3*block {
		t.Errorf("%d bytes are left", left)
	}
}

// Whatever a function answers, what the client gets is HTTP.
func FuzzPrelude(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"multiValueHeaders":{"Content-Length":["1"]},"cookies":["a=b"]}`))
	f.Add([]byte(`{"headers":{"a\n":"b"}}`))
	f.Add([]byte(`{"cookies":["a\r\nb: c"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePrelude(text)
		if err != nil {
			return
		}
		h := http.Header{}
		if err := p.write(h); err != nil {
			if len(h) > 0 {
				t.Errorf("refused, and wrote %v", h)
			}
			return
		}
		if p.StatusCode < 200 || p.StatusCode > 599 {
			t.Errorf("status %d", p.StatusCode)
		}
		for name, values := range h {
			if !httpguts.ValidHeaderFieldName(name) || slices.Contains(hopByHop, name) ||
				name == "Content-Length" || name != http.CanonicalHeaderKey(name) {
				t.Errorf("header %q", name)
			}
			for _, value := range values {
				if !httpguts.ValidHeaderFieldValue(value) {
					t.Errorf("%s: %q", name, value)
				}
			}
		}
	})
}
