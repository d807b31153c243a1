package call

import (
	"crypto/sha256"
	"encoding/hex"
)

// HeaderCaller tells the bridge which requests are one caller's, so that none takes another's place there. Only the shim
// sets it: a client's is not among the headers that travel on.
const HeaderCaller = "Shim-Caller"

// Caller is a name for who calls that says nothing of them. Different identities have different ones.
func (x *Exchange) Caller() string {
	sum := sha256.Sum256([]byte(x.Who.Issuer + "\x00" + x.Who.Subject))
	return hex.EncodeToString(sum[:16])
}
