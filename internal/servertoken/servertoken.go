// Package servertoken makes and knows the tokens that a server's shim shows to functions of ours: the server's id, and a code
// of it (HMAC, RFC 2104) that only who has the key can make. There is no list of them; another key ends all.
//
// A token says whose shim asks, and nothing of what it may ask for: that is the function's to say.
package servertoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

// MinKey is the least that a key has, in bytes.
const MinKey = 32

// The functions that know servers by tokens.
const (
	Audit    = "audit"
	Sessions = "sessions"
)

// Key makes the tokens of all servers for one function.
type Key struct {
	function string
	secret   []byte
}

// New makes a function's key. A secret that two functions share makes other tokens for each.
func New(function string, secret []byte) (Key, error) {
	if len(secret) < MinKey {
		return Key{}, fmt.Errorf("%d bytes instead of %d: head -c %d /dev/urandom makes them", len(secret), MinKey, MinKey)
	}
	return Key{function, secret}, nil
}

// Read reads a function's key. Where it is this machine's own, one is made if there is none.
func Read(function, path string, own bool) (Key, error) {
	read := os.ReadFile
	if own {
		read = func(path string) ([]byte, error) { return secretfolder.RandomFile(path, MinKey) }
	}
	secret, err := read(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the key of servers' tokens: %w", err)
	}
	k, err := New(function, secret)
	if err != nil {
		return k, fmt.Errorf("read the key of servers' tokens: %s has %w", path, err)
	}
	return k, nil
}

// Of makes a server's token.
func (k Key) Of(server string) string {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(k.function + ":" + server))
	return server + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Server tells whose a token is.
func (k Key) Server(token string) (id string, ok bool) {
	id, _, _ = strings.Cut(token, ".")
	return id, catalog.ValidID(id) && hmac.Equal([]byte(token), []byte(k.Of(id)))
}

// Shown tells which server's token a request shows.
func (k Key) Shown(r *http.Request) (id string, err error) {
	token, _ := identity.Bearer(r.Header)
	id, ok := k.Server(token)
	if !ok {
		return "", &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Message: "Show a server's token: " + k.function + " token ID prints it",
			Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	}
	return id, nil
}
