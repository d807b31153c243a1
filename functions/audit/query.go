package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
)

// Records of a page.
const (
	standardLimit = 100
	maxLimit      = 500
)

// parameters are all that a question may have, each once.
var parameters = []string{"user", "issuer", "server", "tool", "outcome", "from", "until", "limit", "after"}

// readQuery reads a question. user is a subject, of the issuer given or else of the default one; times are RFC 3339.
func readQuery(values url.Values, issuer string, now time.Time, keep time.Duration) (q store.Query, err error) {
	for name, all := range values {
		if !slices.Contains(parameters, name) || len(all) != 1 {
			return q, wrong(name, fmt.Sprintf("there are %v, each once", parameters))
		}
	}
	q = store.Query{Server: values.Get("server"), Tool: values.Get("tool"), Outcome: audit.Outcome(values.Get("outcome")), Limit: standardLimit,
		From: now.Add(-keep), Until: now.Add(time.Hour)} // clocks of shims may be ahead
	if user := values.Get("user"); user != "" {
		if values.Has("issuer") {
			issuer = values.Get("issuer")
		}
		q.User = store.User(issuer, user)
	} else if values.Has("issuer") {
		return q, wrong("issuer", "it is of a user")
	}
	if values.Has("outcome") && !slices.Contains([]audit.Outcome{audit.Forwarded, audit.Answered, audit.Refused, audit.Failed}, q.Outcome) {
		return q, wrong("outcome", "it is forwarded, answered, refused or failed")
	}
	for name, field := range map[string]*time.Time{"from": &q.From, "until": &q.Until} {
		if !values.Has(name) {
			continue
		}
		if *field, err = time.Parse(time.RFC3339Nano, values.Get(name)); err != nil || field.IsZero() || !store.Sorts(*field) {
			return q, wrong(name, "it is a time such as 2026-11-28T00:00:00Z")
		}
	}
	if values.Has("limit") {
		if q.Limit, err = strconv.Atoi(values.Get("limit")); err != nil || q.Limit < 1 || q.Limit > maxLimit {
			return q, wrong("limit", fmt.Sprintf("it is from 1 to %d", maxLimit))
		}
	}
	if values.Has("after") {
		after, err := base64.RawURLEncoding.DecodeString(values.Get("after"))
		if err != nil || len(after) < len(time.DateOnly) {
			return q, wrong("after", "it is next of the page before, as it was")
		}
		q.After = string(after)
	}
	return q, nil
}

// cursor is a place as a client gets it.
func cursor(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

func wrong(name, text string) error {
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, Message: "The parameter " + strconv.Quote(name) + ": " + text}
}
