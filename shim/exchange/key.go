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
	scopes := slices.Compact(slices.Sorted(slices.Values(who.Scopes))) // a set: issuers write it in any order
	buf := make([]byte, 0, 1024)
	add := func(list ...string) {
		buf = binary.AppendUvarint(buf, uint64(len(list)))
		for _, s := range list {
			buf = binary.AppendUvarint(buf, uint64(len(s)))
			buf = append(buf, s...)
		}
	}
	add(who.Issuer, who.Subject, who.Client, who.ACR, who.Actor)
	add(scopes...)
	add(actor, x.Audience, x.Resource)
	return sha256.Sum256(buf)
}

// with is the key of one token of those that share k.
func (k key) with(subject secret.Text) key {
	return sha256.Sum256(append(k[:], subject.Reveal()...))
}
