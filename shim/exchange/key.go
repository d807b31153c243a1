package exchange

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// key is what a token may be shared by: a hash, since tokens are not kept in order to be looked for.
type key [sha256.Size]byte

// keyOf makes a key of everything that an issuer may decide by. Lists and lengths go in, so that no two inputs run into one.
func keyOf(who identity.Identity, x *rules.Exchange, actor string) key {
	scopes := who.Scopes
	if !slices.IsSorted(scopes) {
		scopes = slices.Sorted(slices.Values(scopes)) // they are a set: issuers write it in any order
	}
	var most [1024]byte
	buf := most[:0]
	for _, s := range [...]string{who.Issuer, who.Subject, who.Client, who.ACR, who.Actor, actor, x.Audience, x.Resource} {
		buf = appendText(buf, s)
	}
	for i, s := range scopes {
		if i == 0 || s != scopes[i-1] {
			buf = appendText(buf, s)
		}
	}
	return sha256.Sum256(buf)
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// with is the key of one token of those that share k.
func (k key) with(subject secret.Text) key {
	return sha256.Sum256(append(k[:], subject.Reveal()...))
}
