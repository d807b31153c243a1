package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/mcp"
)

// Whatever a shim brings: it is refused with a status that tells it what to do, or every record is of its server, one line, and
// has a name that can be part of a key.
func FuzzBatch(f *testing.F) {
	f.Add("", `[{"id":"1","createdAt":"2026-11-28T12:00:00Z","server":"notes","callType":"ping","requestBody":{"a":"b"}}]`)
	f.Add("", `[{"id":"1","createdAt":"2026-11-28T12:00:00Z","server":"memo"},{"id":"2","createdAt":"2026-11-28T12:00:00+14:00","server":"notes"}]`)
	f.Add("", "[\n{\"id\":\"a b\",\"createdAt\":\"9999-12-31T23:59:59-23:59\",\"server\":\"notes\"}]")
	f.Add("", `[{"id":"1","createdAt":"9999-12-31T23:59:59-23:59","server":"notes"}]`)
	f.Add("gzip", "\x1f\x8b\x08\x00")
	f.Add("br", "[]")
	f.Fuzz(func(t *testing.T, encoding, body string) {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}
		b, err := readBatch(r, "notes")
		if err != nil {
			if status := mcp.AsError(err).Status; status != http.StatusUnprocessableEntity && status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d: %v", status, err)
			}
			return
		}
		for _, rec := range b.Records {
			e := rec.Entry
			if e.Server != "notes" || e.ID == "" || strings.ContainsAny(e.Key(), " \n#") && !strings.Contains(e.ID, "#") || len(store.At(e.CreatedAt)) != len("2026-11-28T12:00:00.000000000Z") {
				t.Errorf("%q at %s", e.Key(), e.At())
			}
			if bytes.ContainsAny(rec.Line, "\r\n") || !json.Valid(rec.Line) || e.RequestBody != nil || e.ResponseBody != nil {
				t.Errorf("%q", rec.Line)
			}
		}
	})
}

// Whatever an auditor asks: it is refused, or its bounds are bounds.
func FuzzQuery(f *testing.F) {
	f.Add("user=alice&server=notes&tool=x&outcome=refused&limit=10&from=2026-11-01T00:00:00Z&until=2026-12-01T00:00:00Z")
	f.Add("limit=0")
	f.Add("limit=501&after=AAAA")
	f.Add("from=9999-12-31T23:59:59-23:59")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := readQuery(values, "https://issuer.test", noon, 400*24*time.Hour)
		if err != nil {
			if mcp.AsError(err).Status != http.StatusBadRequest {
				t.Error(err)
			}
			return
		}
		if q.Limit < 1 || q.Limit > maxLimit || q.After != "" && len(q.After) < len(time.DateOnly) {
			t.Errorf("%+v", q)
		}
		for _, at := range []time.Time{q.From, q.Until} {
			if len(store.At(at)) != len("2026-11-28T12:00:00.000000000Z") {
				t.Errorf("%s", store.At(at))
			}
		}
	})
}
