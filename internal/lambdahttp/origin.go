package lambdahttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/net/http/httpguts"

	"mcpgateway/internal/mcp"
)

// secretsVariable lists the secrets by which a front of our own is known, with commas between them: two while one is replaced.
// Without it whoever reaches the function may ask.
const secretsVariable = "ORIGIN_SECRETS"

// Headers of such a front's (terraform/edge/viewer.js). They are removed in any case.
const (
	headerSecret = "X-Origin-Secret"
	headerHost   = "X-Viewer-Host"
	headerIP     = "X-Viewer-Ip"
)

// minSecret is how long a secret must be, in bytes: the address that it guards is in the public DNS.
const minSecret = 32

// origin is who may ask. The zero value lets everybody.
type origin struct{ hashes [][sha256.Size]byte }

func readOrigin() (o origin, err error) {
	text := os.Getenv(secretsVariable)
	if text == "" {
		return o, nil
	}
	for secret := range strings.SplitSeq(text, ",") {
		if len(secret) < minSecret {
			return o, fmt.Errorf("%s: a secret of fewer than %d bytes", secretsVariable, minSecret)
		}
		o.hashes = append(o.hashes, sha256.Sum256([]byte(secret)))
	}
	return o, nil
}

// admit lets those in who show a secret, and believes them which host was asked and by whom.
func (o origin) admit(r *http.Request) error {
	shown, host, ip := r.Header[headerSecret], r.Header.Get(headerHost), r.Header.Get(headerIP)
	for _, name := range []string{headerSecret, headerHost, headerIP} {
		r.Header.Del(name)
	}
	if o.hashes == nil {
		return nil
	}
	if len(shown) != 1 || !o.known(shown[0]) {
		return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, Message: "This address is not for clients: ask at the gateway's public one",
			Cause: errors.New("no secret of an origin")}
	}
	if host != "" && httpguts.ValidHostHeader(host) {
		r.Host = host
	}
	if net.ParseIP(ip) != nil {
		r.RemoteAddr = net.JoinHostPort(ip, "0")
	}
	return nil
}

// known compares hashes, all of them: how long it takes says nothing of a secret.
func (o origin) known(secret string) bool {
	hash, found := sha256.Sum256([]byte(secret)), 0
	for _, h := range o.hashes {
		found |= subtle.ConstantTimeCompare(hash[:], h[:])
	}
	return found == 1
}
