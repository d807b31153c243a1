package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

// Bounds of a query, as the official registry has them for pages.
const (
	registryPageSize    = 30
	maxRegistryPage     = 100
	maxRegistryArgument = 256 // bytes of any argument
)

// registryQuery is what a list is asked for.
type registryQuery struct {
	after   string // an id: the list goes on behind it
	limit   int
	search  string // in small letters
	version string
	since   time.Time
}

// parseRegistryQuery reads a query. Arguments that it does not know are left to later versions of the API.
func parseRegistryQuery(raw string) (registryQuery, error) {
	q := registryQuery{limit: registryPageSize, version: "latest"}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, badQuery("The query is malformed")
	}
	for name, given := range values {
		value := given[0]
		ok := len(given) == 1 && len(value) <= maxRegistryArgument
		if ok && value == "" {
			continue
		}
		switch name {
		case "cursor":
			q.after, ok = parseRegistryCursor(value, ok)
		case "limit":
			var n int
			n, err = strconv.Atoi(value)
			ok = ok && err == nil && n > 0
			q.limit = min(n, maxRegistryPage)
		case "search":
			q.search = strings.ToLower(value)
		case "version":
			q.version = value
		case "updated_since":
			q.since, err = time.Parse(time.RFC3339, value)
			ok = ok && err == nil
		default:
			continue
		}
		if !ok {
			return q, badQuery("The argument " + name + " is not valid")
		}
	}
	return q, nil
}

// cursorVersion stands in front of a cursor's id, so that another form can follow.
const cursorVersion = "1:"

func registryCursor(after string) string {
	return base64url.Encode([]byte(cursorVersion + after))
}

// parseRegistryCursor takes any well-formed id: the server may be gone since, or never have been there. What a cursor
// says is a place in the order, and opens nothing.
func parseRegistryCursor(cursor string, ok bool) (string, bool) {
	text, err := base64url.Decode(cursor)
	id, known := strings.CutPrefix(string(text), cursorVersion)
	return id, ok && err == nil && known && catalog.ValidID(id)
}

func badQuery(message string) error {
	return &mcp.Error{Status: http.StatusBadRequest, Message: message}
}
