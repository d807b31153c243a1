package session

import (
	"strings"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/mcp"
)

// maxRequest is the longest id of a request whose stream is named, in bytes of JSON.
const maxRequest = 128

// SealStream names the stream that answers one request of a session, for its event ids (MCP 2025-11-25, transports,
// "resumability and redelivery"): whoever seals with the same keys can tell later whose it was, and what is still waited for.
// No two calls return the same. It is false where the request's id is too long.
func (s *Sealer) SealStream(of *Session, request mcp.Token, issuer, subject string) (name string, ok bool) {
	if len(request) > maxRequest {
		return "", false
	}
	return mcp.EventPrefix + base64url.Encode(s.ring[0].Seal(nil, nil, request, s.boundStream(of, issuer, subject))), true
}

// OpenStream returns the id of the request that the stream answers, or ErrUnknown.
func (s *Sealer) OpenStream(name string, of *Session, issuer, subject string) (request mcp.Token, err error) {
	sealed, found := strings.CutPrefix(name, mcp.EventPrefix)
	if !found || len(sealed) > (maxRequest+overhead)*2 {
		return nil, ErrUnknown
	}
	raw, err := base64url.Decode(sealed)
	if err != nil {
		return nil, ErrUnknown
	}
	bound := s.boundStream(of, issuer, subject)
	for _, aead := range s.ring {
		if request, err := aead.Open(nil, nil, raw, bound); err == nil {
			return request, nil
		}
	}
	return nil, ErrUnknown
}

// boundStream is the additional data of a stream's name: nothing that is bound otherwise begins so.
func (s *Sealer) boundStream(of *Session, issuer, subject string) []byte {
	return append(append(s.bound(issuer, subject), mcp.EventPrefix...), of.Name[:]...)
}
