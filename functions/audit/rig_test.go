package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/functions/audit/store/local"
	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/secret"
)

const public = "https://gateway.test"

// noon is when every test begins.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// rig is a server with a store in a folder, and two issuers.
type rig struct {
	*httptest.Server
	server        *server
	main, partner *identitytest.Issuer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{main: identitytest.New(t, "main", "https://issuer.test"), partner: identitytest.New(t, "partner", "https://partner.test")}
	first := r.main.Config(t)
	first.Default = true
	issuers := []identity.Issuer{first, r.partner.Config(t)}
	verifier, err := identity.NewVerifier(identity.Config{Issuers: issuers})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	kept, err := local.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	p := &catalog.Platform{PublicURL: public, Issuers: issuers, Audit: &catalog.AuditSink{Store: &catalog.AuditStore{
		Auditors: []string{"security", "partner:watch"}, Key: filepath.Join(folder, "token.key"), Keep: catalog.Duration(400 * 24 * time.Hour)}}}
	r.server, err = newServer(&documents.Version{Platform: p, Verifier: verifier}, kept, slog.New(slog.DiscardHandler), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(r.server)
	t.Cleanup(r.Close)
	return r
}

// shim is a server's, which brings records as the real one does.
func (r *rig) shim(t *testing.T, token string) *sink.Sink {
	t.Helper()
	s, err := sink.New(sink.Config{URL: r.URL + path, Credential: secret.New(token), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// line is a record of a server's, made n minutes before noon.
func line(t *testing.T, server string, n int, change func(*audit.Record)) []byte {
	t.Helper()
	rec := audit.Record{ID: audit.NewID(), CreatedAt: noon.Add(-time.Duration(n) * time.Minute), Server: server, Issuer: "https://issuer.test", Subject: "alice",
		CallType: "tools/call", CallIdentifier: "search", Outcome: audit.Forwarded}
	if change != nil {
		change(&rec)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// auditor is a token of somebody's who may read.
func (r *rig) auditor(t *testing.T) string {
	return r.main.Token(t, "carol", public, []string{"security"}, nil)
}

// get asks, and returns the answer's body.
func (r *rig) get(t *testing.T, token, query string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.URL+path+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// page asks as an auditor, and returns what is found.
func (r *rig) page(t *testing.T, query string) (found []store.Entry, next string) {
	t.Helper()
	status, body := r.get(t, r.auditor(t), query)
	var a answer
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK || !strings.HasPrefix(body, `{"records":[`) {
		t.Fatalf("%d %s %v", status, body, err)
	}
	return a.Records, a.Next
}
