package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/servertoken"
)

// What a shim's own client brings is there once, for who may read it.
func TestBringAndFind(t *testing.T) {
	r := newRig(t)
	notes, other := r.shim(t, r.server.tokens.Of("notes")), r.shim(t, r.server.tokens.Of("other"))
	batch := [][]byte{line(t, "notes", 3, nil), line(t, "notes", 2, func(e *audit.Record) { e.Subject, e.Outcome = "bob", audit.Refused })}
	for range 2 {
		if err := notes.Send(t.Context(), "the-same-key", batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Send(t.Context(), "another-key", [][]byte{line(t, "other", 1, func(e *audit.Record) { e.Issuer = "https://partner.test" })}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		"": 3, "?server=notes": 2, "?user=alice": 1, "?user=alice&issuer=https://partner.test": 1, "?user=bob": 1, "?outcome=refused": 1, "?tool=search": 3,
		"?tool=search&server=other": 1, "?from=2026-11-28T11:58:30Z": 1, "?until=2026-11-28T11:58:00Z": 1, "?server=nobody": 0,
	} {
		if found, next := r.page(t, query); len(found) != want || next != "" {
			t.Errorf("%q: %d found, next %q", query, len(found), next)
		}
	}
}

func TestPages(t *testing.T) {
	r := newRig(t)
	var batch [][]byte
	for n := range 25 {
		batch = append(batch, line(t, "notes", n, nil))
	}
	if err := r.shim(t, r.server.tokens.Of("notes")).Send(t.Context(), "a-batch-of-many", batch); err != nil {
		t.Fatal(err)
	}
	var all []store.Entry
	query, pages := "?limit=10", 0
	for {
		found, next := r.page(t, query)
		all = append(all, found...)
		if pages++; next == "" || pages > 5 {
			break
		}
		query = "?limit=10&after=" + url.QueryEscape(next)
	}
	if pages != 3 || len(all) != 25 {
		t.Fatalf("%d on %d pages", len(all), pages)
	}
	for i := 1; i < len(all); i++ {
		if !all[i].CreatedAt.Before(all[i-1].CreatedAt) {
			t.Errorf("%d is not older than the one before", i)
		}
	}
}

// A token is for one server's records, and what is not such a token brings nothing.
func TestTokens(t *testing.T) {
	r := newRig(t)
	good := r.server.tokens.Of("notes")
	other, err := servertoken.New("audit", bytes.Repeat([]byte("x"), servertoken.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"none": "", "another key's": other.Of("notes"), "of another server": "other" + strings.TrimPrefix(good, "notes"),
		"cut": good[:len(good)-1], "longer": good + "A", "a name only": "notes.", "a person's": r.auditor(t)} {
		err := r.shim(t, token).Send(t.Context(), "some-batch-key", [][]byte{line(t, "notes", 1, nil)})
		var f *sink.Failure
		if !errors.As(err, &f) || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = r.shim(t, good).Send(t.Context(), "some-batch-key", [][]byte{line(t, "notes", 1, nil), line(t, "other", 1, nil)})
	var f *sink.Failure
	if !errors.As(err, &f) || !f.Final {
		t.Errorf("records of another server: %v", err)
	}
	if found, _ := r.page(t, ""); len(found) != 0 {
		t.Errorf("%d are kept", len(found))
	}
}

// Only auditors read: members of the groups, each of its own issuer, with a token for the gateway.
func TestAuditors(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"an auditor":                        {r.auditor(t), 200},
		"a partner's":                       {r.partner.Token(t, "dave", public, []string{"watch"}, nil), 200},
		"nobody":                            {"", 401},
		"somebody":                          {r.main.Token(t, "alice", public, []string{"engineering"}, nil), 403},
		"a partner's of a namesake group":   {r.partner.Token(t, "dave", public, []string{"security"}, nil), 403},
		"one of ours of a partner's group":  {r.main.Token(t, "erin", public, []string{"watch", "partner:watch"}, nil), 403},
		"an auditor's token for a server":   {r.main.Token(t, "carol", public+"/mcp-connect/notes", []string{"security"}, nil), 401},
		"an auditor's of another gateway":   {r.main.Token(t, "carol", "https://other.test", []string{"security"}, nil), 401},
		"a shim":                            {r.server.tokens.Of("notes"), 401},
		"who calls itself as servers never": {r.main.Token(t, auditors, public, nil, nil), 403},
	} {
		if status, body := r.get(t, c.token, ""); status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestBadQuestions(t *testing.T) {
	r := newRig(t)
	for _, query := range []string{"?users=alice", "?server=a&server=b", "?limit=0", "?limit=501", "?limit=x", "?from=yesterday", "?until=2026-11-28", "?outcome=ok",
		"?after=!", "?after=", "?issuer=https://partner.test", "?from=0000-01-01T00:00:00%2B01:00", "?until=9999-12-31T23:59:59-01:00"} {
		if status, body := r.get(t, r.auditor(t), query); status != http.StatusBadRequest || !strings.Contains(body, "parameter") {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func TestBadBatches(t *testing.T) {
	r := newRig(t)
	zip := func(text string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
		return out.String()
	}
	good := string(line(t, "notes", 1, nil))
	for name, c := range map[string]struct {
		kind, encoding, body string
		status               int
	}{
		"not encoded":             {"application/json", "", "[" + good + "]", 204},
		"gzip":                    {"application/json; charset=utf-8", "gzip", zip("[" + good + "]"), 204},
		"in many lines":           {"application/json", "", "[\n" + strings.ReplaceAll(good, ",", ",\n") + "\n]", 204},
		"another type":            {"text/plain", "", "[" + good + "]", 422},
		"another encoding":        {"application/json", "br", "[" + good + "]", 422},
		"no gzip":                 {"application/json", "gzip", "[" + good + "]", 422},
		"gzip that breaks off":    {"application/json", "gzip", zip("[" + good + "]")[:40], 422},
		"none":                    {"application/json", "", "[]", 422},
		"one that is no array":    {"application/json", "", good, 422},
		"no record":               {"application/json", "", "[1]", 422},
		"one without id":          {"application/json", "", `[{"server":"notes","createdAt":"2026-11-28T11:00:00Z"}]`, 422},
		"one without time":        {"application/json", "", `[{"server":"notes","id":"x"}]`, 422},
		"an id that is a path":    {"application/json", "", `[{"server":"notes","id":"a\nb","createdAt":"2026-11-28T11:00:00Z"}]`, 422},
		"one of a distant future": {"application/json", "", `[{"server":"notes","id":"x","createdAt":"12026-11-28T11:00:00Z"}]`, 422},
		"too many":                {"application/json", "", "[" + strings.Repeat(good+",", maxRecords) + good + "]", 422},
		"a bomb":                  {"application/json", "gzip", zip(`["` + strings.Repeat(" ", maxText) + `"]`), 413},
	} {
		req, err := http.NewRequest(http.MethodPost, r.URL+path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + r.server.tokens.Of("notes")}, "Content-Type": {c.kind}}
		if c.encoding != "" {
			req.Header.Set("Content-Encoding", c.encoding)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if found, _ := r.page(t, ""); len(found) != 1 {
		t.Errorf("%d are kept", len(found))
	}
}

func TestPaths(t *testing.T) {
	r := newRig(t)
	for request, want := range map[string]int{"GET /": 404, "DELETE /audit": 405, "GET /audit/x": 404, "GET /healthz": 204} {
		method, at, _ := strings.Cut(request, " ")
		req, err := http.NewRequest(method, r.URL+at, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", request, resp.StatusCode, fmt.Sprint(resp.Header))
		}
	}
}
