package differential

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/mcp"
)

// FuzzRequest: whatever Parse lets through, every other reader refuses, or reads the same. What Parse refuses is no
// find, since it refuses on purpose what they read differently.
func FuzzRequest(f *testing.F) {
	n := needNode(f)
	for i, text := range requests {
		f.Add(byte(i), []byte{}, []byte{})
		f.Add(byte(63), []byte(text), []byte{})
		f.Add(byte(i), []byte("b"), []byte{byte(6 * i), byte(i), byte(2 * i), byte(2 + i%4), byte(i), byte(i)})
	}
	f.Fuzz(func(t *testing.T, seed byte, text, edits []byte) {
		in := message(requests, seed, text, edits)
		b, err := mcp.Parse(in)
		if count(err == nil); err != nil {
			return
		}
		r := n.ask(t, 'm', in)
		if !r.OK || r.Batch != b.Batch || len(r.Messages) != len(b.Messages) {
			t.Fatalf("%s\nwe read %d messages, batch %v; Node.js %+v", in, len(b.Messages), b.Batch, r)
		}
		for i := range b.Messages {
			m := &b.Messages[i]
			mine := ours(m)
			check(t, in, "Node.js", mine, r.Messages[i], true)
			if theirs, ok := loose(m.Raw); ok {
				delete(mine, "target") // follows from the others, and loose has no methods
				check(t, in, "encoding/json", mine, theirs, true)
			}
			checkGo(t, in, headers(m), m)
		}
	})
}

func check(t *testing.T, in []byte, who string, ours, theirs reading, all bool) {
	t.Helper()
	if name := differ(ours, theirs, all); name != "" {
		t.Fatalf("%s\n%s is another to %s (-ours +theirs):\n%s", in, name, who, cmp.Diff(ours, theirs))
	}
}

// checkGo gives a message to mcp-go.
func checkGo(t *testing.T, in []byte, h http.Header, m *mcp.Message) {
	t.Helper()
	if theirs := mcpGo(h, m.Raw); theirs != nil {
		check(t, in, "mcp-go", ours(m).promptTexts(), theirs, false)
	}
}

// headers are those that a client sends with a message.
func headers(m *mcp.Message) http.Header {
	h := http.Header{}
	version, ok := m.Params.MetaVersion.Text()
	if !ok || version < mcp.ModernVersion {
		return h
	}
	h.Set(mcp.HeaderVersion, version)
	h.Set(mcp.HeaderMethod, m.Method)
	if name, ok := m.Target().Name.Text(); ok {
		encoded, _ := sdk.EncodeHeaderValue(name)
		h.Set(mcp.HeaderName, encoded)
	}
	return h
}
