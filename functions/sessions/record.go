package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/store"
)

// Bounds of a record. Its name is a hash, and what it says is sealed by its server's shim: neither means anything here.
const (
	maxValue  = 48 << 10            // bytes
	longest   = 31 * 24 * time.Hour // until it expires: as long as an id of a session opens, and what clocks differ by
	nameBytes = 32
)

// readKey is where the record of a server's session is: whatever name a shim asks for, it is among those of its own server.
func readKey(server, name string) (store.Key, error) {
	raw, err := base64url.Decode(name)
	if err != nil || len(raw) != nameBytes {
		return store.Key{}, unfit(fmt.Sprintf("its name is not %d bytes in base64url", nameBytes), err)
	}
	return store.Key{Part: server, Sort: name}, nil
}

// readRecord reads what a shim writes: the value, in expires when it may go, in seconds of the Unix epoch, and which version it
// replaces.
func readRecord(r *http.Request, key store.Key, now time.Time) (store.Item, error) {
	item := store.Item{Key: key}
	seconds, err := strconv.ParseInt(r.URL.Query().Get("expires"), 10, 64)
	if err != nil {
		return item, unfit("expires is no number of seconds", err)
	}
	if item.Expires = time.Unix(seconds, 0); !item.Expires.After(now) || item.Expires.After(now.Add(longest)) {
		return item, unfit(fmt.Sprintf("it expires within %v, and not before now", longest), nil)
	}
	if item.Version, err = readVersion(r.Header); err != nil {
		return item, err
	}
	item.Value, err = io.ReadAll(io.LimitReader(r.Body, maxValue+1))
	switch {
	case err != nil:
		return item, unfit("the body breaks off", err)
	case len(item.Value) > maxValue:
		return item, &mcp.Error{Status: http.StatusRequestEntityTooLarge, Code: mcp.CodeInvalidRequest, Message: fmt.Sprintf("A record of more than %d bytes", maxValue)}
	case len(item.Value) == 0:
		return item, unfit("it is empty", nil)
	}
	return item, nil
}

// readVersion is the version that is replaced; 0 where there must be none (RFC 9110, sections 13.1.1 and 13.1.2). One of the two
// is required: whoever knows nothing of what is there may not replace it.
func readVersion(h http.Header) (int64, error) {
	match, none := h.Values("If-Match"), h.Values("If-None-Match")
	if len(match) == 0 && len(none) == 1 && none[0] == "*" {
		return 0, nil
	}
	if len(match) == 1 && len(none) == 0 {
		text, opened := strings.CutPrefix(match[0], `"`)
		text, closed := strings.CutSuffix(text, `"`)
		if v, err := strconv.ParseInt(text, 10, 64); opened && closed && err == nil && v > 0 && entityTag(v) == match[0] {
			return v, nil
		}
	}
	return 0, unfit(`If-Match: "VERSION" or If-None-Match: * is required`, nil)
}

func entityTag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// unfit is for what will never be taken.
func unfit(text string, cause error) error {
	return &mcp.Error{Status: http.StatusUnprocessableEntity, Code: mcp.CodeInvalidRequest, Message: "This is no record: " + text, Cause: cause}
}
