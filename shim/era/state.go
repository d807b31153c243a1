package era

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// newStateSealer makes what seals requestState. Its key is as old as the shim: so are the calls that it names.
func newStateSealer() (cipher.AEAD, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal makes the requestState of a round: for this caller, this server, and another try of the same request (MCP
// 2026-07-28, patterns, multi round-trip requests, server requirements).
func (t *Translator) seal(x *call.Exchange, m *mcp.Message, h handle) string {
	return base64url.Encode(t.state.Seal(nil, nil, h[:], t.bound(x, m)))
}

// open reads a requestState; false where it is none of ours, or for something else.
func (t *Translator) open(x *call.Exchange, m *mcp.Message, state string) (h handle, ok bool) {
	const most = 256
	if len(state) > most {
		return h, false
	}
	raw, err := base64url.Decode(state)
	if err != nil {
		return h, false
	}
	plain, err := t.state.Open(nil, nil, raw, t.bound(x, m))
	if err != nil || len(plain) != len(h) {
		return h, false
	}
	return handle(plain), true
}

// bound is the additional data: each part with its length, so that no two have the same bytes.
func (t *Translator) bound(x *call.Exchange, m *mcp.Message) []byte {
	target, _ := m.Target().Name.Text()
	var out []byte
	for _, part := range []string{"round", t.Server, x.Who.Issuer, x.Who.Subject, m.Method, target} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...) //nolint:gosec // a request's body is not that long
	}
	return out
}
