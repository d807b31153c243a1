package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// modernVersion is the first revision without sessions; revisions are dates.
const modernVersion = "2026-07-28"

// eras are which revisions of the protocol the server speaks: both, or those of one era, as most servers do.
type eras string

const (
	both   eras = "both"
	legacy eras = "legacy"
	modern eras = "modern"
)

// Set implements flag.Value.
func (e *eras) Set(v string) error {
	if v := eras(v); v == both || v == legacy || v == modern {
		*e = v
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s", both, legacy, modern)
}

// String implements flag.Value.
func (e *eras) String() string { return string(*e) }

// speak refuses what is of the other era, as servers of one do (MCP 2026-07-28, versioning, "compatibility matrix").
func (e eras) speak(next http.Handler) http.Handler {
	if e == both {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isModern := r.Header.Get(mcp.HeaderProtocolVersion) >= modernVersion
		if isModern == (e == modern) {
			next.ServeHTTP(w, r)
			return
		}
		var m struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&m) // what has no id is answered without
		if m.ID == nil {
			m.ID = json.RawMessage("null")
		}
		code, status := -32000, http.StatusBadRequest
		if e == modern {
			code = -32020 // a header is missing
		}
		if r.Method != http.MethodPost {
			status = http.StatusMethodNotAllowed
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"Bad Request: only %s revisions of MCP are spoken here"}}`, m.ID, code, e)
	})
}
