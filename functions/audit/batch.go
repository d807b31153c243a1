package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/mcp"
)

// Bounds of a batch. The second is of what is not compressed, and keeps a small body from becoming a large one here.
const (
	maxBody    = 6 << 20 // bytes, which is Lambda's own
	maxText    = 32 << 20
	maxRecords = 5000
)

// readBatch reads what a server's shim brings (internal/audit/sink).
func readBatch(r *http.Request, id string) (store.Batch, error) {
	b := store.Batch{Server: id}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" {
		return b, unfit("a batch is application/json", nil)
	}
	text, err := readText(r)
	if err != nil {
		return b, err
	}
	var lines []json.RawMessage
	if err := json.Unmarshal(text, &lines); err != nil {
		return b, unfit("a batch is an array of records", err)
	}
	if len(lines) == 0 || len(lines) > maxRecords {
		return b, unfit(fmt.Sprintf("a batch has 1 to %d records", maxRecords), nil)
	}
	for i, line := range lines {
		var compact bytes.Buffer
		if err := json.Compact(&compact, line); err != nil {
			return b, unfit("a batch is an array of records", err)
		}
		rec, err := store.NewRecord(compact.Bytes())
		if err != nil {
			return b, unfit(fmt.Sprintf("record %d has no id and no time", i), err)
		}
		if rec.Entry.Server != id {
			return b, unfit(fmt.Sprintf("record %d is of another server than the token", i), nil)
		}
		b.Records = append(b.Records, rec)
	}
	return b, nil
}

func readText(r *http.Request) ([]byte, error) {
	body := io.LimitReader(r.Body, maxBody+1)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, unfit("the body is not gzip", err)
		}
		body = z
	default:
		return nil, unfit("a batch is gzip, or not encoded", nil)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxText+1))
	switch {
	case err != nil:
		return nil, unfit("the body breaks off", err)
	case len(text) > maxText || r.ContentLength > maxBody:
		return nil, &mcp.Error{Status: http.StatusRequestEntityTooLarge, Code: mcp.CodeInvalidRequest, Message: fmt.Sprintf("A batch of more than %d bytes", maxText)}
	}
	return text, nil
}

// unfit is for what will never be taken.
func unfit(text string, cause error) error {
	return &mcp.Error{Status: http.StatusUnprocessableEntity, Code: mcp.CodeInvalidRequest, Message: "This is no batch of records: " + text, Cause: cause}
}
