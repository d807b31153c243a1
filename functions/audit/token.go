package main

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

// tokens are what shims show: the server's id, and a code of it (HMAC, RFC 2104) that only who has the key can make. There is
// no list of them; another key ends all.
type tokens struct{ key []byte }

// minKey is the least that a key has, in bytes.
const minKey = 32

// readTokens reads the key. Where records are kept on this machine one is made if there is none.
func readTokens(c *catalog.AuditStore) (tokens, error) {
	read := os.ReadFile
	if c.Table == "" {
		read = func(path string) ([]byte, error) { return secretfolder.RandomFile(path, minKey) }
	}
	key, err := read(c.Key)
	if err == nil && len(key) < minKey {
		err = fmt.Errorf("%s has %d bytes instead of %d: head -c %d /dev/urandom makes them", c.Key, len(key), minKey, minKey)
	}
	if err != nil {
		return tokens{}, fmt.Errorf("read the key of servers' tokens: %w", err)
	}
	return tokens{key}, nil
}

// of makes a server's token.
func (t tokens) of(server string) string {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte("audit:" + server)) // of nothing else that the key may be for one day
	return server + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// server tells whose a token is.
func (t tokens) server(token string) (id string, ok bool) {
	id, _, _ = strings.Cut(token, ".")
	return id, catalog.ValidID(id) && hmac.Equal([]byte(token), []byte(t.of(id)))
}

// shows tells which server's token a request shows.
func (t tokens) shows(r *http.Request) (id string, err error) {
	token, _ := identity.Bearer(r.Header)
	id, ok := t.server(token)
	if !ok {
		return "", &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Message: "Show a server's token: audit token ID prints it",
			Header: http.Header{"Www-Authenticate": {"Bearer"}}}
	}
	return id, nil
}
