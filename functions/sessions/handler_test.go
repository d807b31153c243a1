package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/servertoken"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/dynamo"
	"mcpgateway/internal/store/dynamo/dynamotest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

// noon is when every test begins.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// rig is a server with a store.
type rig struct {
	*httptest.Server
	server *server
	now    time.Time
}

func newRig(t *testing.T, open func(now func() time.Time) store.Store) *rig {
	t.Helper()
	r := &rig{now: noon}
	clock := func() time.Time { return r.now }
	tokens, err := servertoken.New(servertoken.Sessions, bytes.Repeat([]byte{1}, servertoken.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	r.server = &server{store: open(clock), tokens: tokens, log: slog.New(slog.DiscardHandler), now: clock}
	r.Server = httptest.NewServer(r.server)
	t.Cleanup(r.Close)
	return r
}

// inFile is a store in a file.
func inFile(t *testing.T) func(func() time.Time) store.Store {
	return func(now func() time.Time) store.Store {
		s, err := bolt.Open(filepath.Join(t.TempDir(), storeFile), now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// name is of one record among others.
func name(n byte) string { return base64url.Encode(bytes.Repeat([]byte{n}, nameBytes)) }

// ask asks as a server's shim does; header is name, value, name, value.
func (r *rig) ask(t *testing.T, method, server, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if server != "" {
		req.Header.Set("Authorization", "Bearer "+r.server.tokens.Of(server))
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
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
	return resp, string(text)
}

func (r *rig) place(n byte) string { return path + name(n) }

// until is a place with when its record expires.
func (r *rig) until(n byte, in time.Duration) string {
	return fmt.Sprintf("%s?expires=%d", r.place(n), r.now.Add(in).Unix())
}

// A record is there from one write to the next and until it expires, and each write says what it replaces.
func keepsRecords(t *testing.T, r *rig) {
	if resp, body := r.ask(t, "GET", "notes", r.place(1), ""); resp.StatusCode != 404 || body != "" {
		t.Errorf("before it is written: %d %s", resp.StatusCode, body)
	}
	resp, body := r.ask(t, "PUT", "notes", r.until(1, time.Hour), "one", "If-None-Match", "*")
	if resp.StatusCode != 204 || resp.Header.Get("Etag") != `"1"` || body != "" {
		t.Fatalf("first: %d %s %s", resp.StatusCode, resp.Header, body)
	}
	for _, step := range []struct {
		header, value string
		status        int
		kept          string
	}{
		{"If-None-Match", "*", 412, "one"}, {"If-Match", `"2"`, 412, "one"}, {"If-Match", `"1"`, 204, "two"}, {"If-Match", `"1"`, 412, "two"}, {"If-Match", `"2"`, 204, "two"},
	} {
		resp, _ := r.ask(t, "PUT", "notes", r.until(1, time.Hour), "two", step.header, step.value)
		got, body := r.ask(t, "GET", "notes", r.place(1), "")
		if resp.StatusCode != step.status || got.StatusCode != 200 || body != step.kept || got.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %s: %d, then %d %q", step.header, step.value, resp.StatusCode, got.StatusCode, body)
		}
	}
	if resp, _ := r.ask(t, "GET", "notes", r.place(2), ""); resp.StatusCode != 404 {
		t.Errorf("another record: %d", resp.StatusCode)
	}
	r.now = r.now.Add(time.Hour)
	if resp, body := r.ask(t, "GET", "notes", r.place(1), ""); resp.StatusCode != 404 {
		t.Errorf("after it expired: %d %s", resp.StatusCode, body)
	}
}

func TestRecords(t *testing.T) { keepsRecords(t, newRig(t, inFile(t))) }

// In DynamoDB it is the same.
func TestRecordsInTable(t *testing.T) {
	c := dynamotest.Service(t)
	table := dynamotest.Table(t, c, dynamotest.Schema(), "expires")
	keepsRecords(t, newRig(t, func(now func() time.Time) store.Store {
		s, err := dynamo.Open(t.Context(), dynamo.Config{Table: table, AWS: c, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}))
}

// Of many that write at once one wins, each time.
func TestOneWriterWins(t *testing.T) {
	r := newRig(t, inFile(t))
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for n := range 20 {
		all.Go(func() {
			resp, _ := r.ask(t, "PUT", "notes", r.until(1, time.Hour), fmt.Sprint(n), "If-None-Match", "*")
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode == 204 {
				won++
			} else if resp.StatusCode != 412 {
				t.Errorf("%d", resp.StatusCode)
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// A server's token opens its records and no other's, whatever their name.
func TestRecordsAreTheServers(t *testing.T) {
	r := newRig(t, inFile(t))
	if resp, _ := r.ask(t, "PUT", "notes", r.until(1, time.Hour), "mine", "If-None-Match", "*"); resp.StatusCode != 204 {
		t.Fatal(resp.Status)
	}
	if resp, body := r.ask(t, "GET", "other", r.place(1), ""); resp.StatusCode != 404 {
		t.Errorf("read by another: %d %s", resp.StatusCode, body)
	}
	if resp, _ := r.ask(t, "PUT", "other", r.until(1, time.Hour), "theirs", "If-Match", `"1"`); resp.StatusCode != 412 {
		t.Errorf("replaced by another: %d", resp.StatusCode)
	}
	if resp, _ := r.ask(t, "PUT", "other", r.until(1, time.Hour), "theirs", "If-None-Match", "*"); resp.StatusCode != 204 {
		t.Errorf("another's own: %d", resp.StatusCode)
	}
	if _, body := r.ask(t, "GET", "notes", r.place(1), ""); body != "mine" {
		t.Errorf("it is %q now", body)
	}
	good := r.server.tokens.Of("notes")
	audit, err := servertoken.New(servertoken.Audit, bytes.Repeat([]byte{1}, servertoken.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{"none": "", "of another function": audit.Of("notes"), "for another server": "other" + strings.TrimPrefix(good, "notes"), "cut": good[:len(good)-1]} {
		for _, method := range []string{"GET", "PUT"} {
			resp, body := r.ask(t, method, "", r.until(1, time.Hour), "x", "Authorization", "Bearer "+token, "If-Match", `"1"`)
			if resp.StatusCode != 401 || resp.Header.Get("Www-Authenticate") != "Bearer" || strings.Contains(body, "mine") {
				t.Errorf("%s by a token that is %s: %d %s", method, what, resp.StatusCode, body)
			}
		}
	}
}

// What is no record is refused with a word on why, and nothing is kept.
func TestRefusals(t *testing.T) {
	r := newRig(t, inFile(t))
	for what, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
	}{
		"elsewhere":          {"GET", "/other", "", nil, 404},
		"no name":            {"GET", path, "", nil, 422},
		"a short name":       {"GET", path + "AAAA", "", nil, 422},
		"a name in a folder": {"GET", path + "../" + name(1), "", nil, 422},
		"another spelling":   {"GET", path + name(1) + "=", "", nil, 422},
		"another method":     {"DELETE", r.place(1), "", nil, 405},
		"no version":         {"PUT", r.until(1, time.Hour), "x", nil, 422},
		"a weak version":     {"PUT", r.until(1, time.Hour), "x", []string{"If-Match", `W/"1"`}, 422},
		"any version":        {"PUT", r.until(1, time.Hour), "x", []string{"If-Match", "*"}, 422},
		"version nought":     {"PUT", r.until(1, time.Hour), "x", []string{"If-Match", `"0"`}, 422},
		"both":               {"PUT", r.until(1, time.Hour), "x", []string{"If-Match", `"1"`, "If-None-Match", "*"}, 422},
		"for ever":           {"PUT", r.place(1), "x", []string{"If-None-Match", "*"}, 422},
		"for too long":       {"PUT", r.until(1, longest+time.Second), "x", []string{"If-None-Match", "*"}, 422},
		"already over":       {"PUT", r.until(1, 0), "x", []string{"If-None-Match", "*"}, 422},
		"nothing":            {"PUT", r.until(1, time.Hour), "", []string{"If-None-Match", "*"}, 422},
		"too much":           {"PUT", r.until(1, time.Hour), strings.Repeat("x", maxValue+1), []string{"If-None-Match", "*"}, 413},
	} {
		resp, body := r.ask(t, c.method, "notes", c.path, c.body, c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", what, resp.StatusCode, body, c.status)
		}
	}
	if resp, body := r.ask(t, "GET", "notes", r.place(1), ""); resp.StatusCode != 404 {
		t.Errorf("%q is kept", body)
	}
	if resp, _ := r.ask(t, "PUT", "notes", r.until(1, longest), strings.Repeat("x", maxValue), "If-None-Match", "*"); resp.StatusCode != 204 {
		t.Errorf("the largest, for as long as can be: %d", resp.StatusCode)
	}
	if resp, _ := r.ask(t, "GET", "", "/healthz", ""); resp.StatusCode != 204 {
		t.Errorf("healthz: %d", resp.StatusCode)
	}
}

// down is a store that cannot be asked.
type down struct{ store.Store }

func (down) Get(_ context.Context, _ store.Key) (store.Item, error) {
	return store.Item{}, errors.New("secret address is down")
}
func (down) Put(_ context.Context, _ store.Item) (store.Item, error) {
	return store.Item{}, errors.New("secret address is down")
}

// A store that is down is no record that is not there, and says nothing of itself to the outside.
func TestStoreDown(t *testing.T) {
	r := newRig(t, func(func() time.Time) store.Store { return down{} })
	for _, method := range []string{"GET", "PUT"} {
		resp, body := r.ask(t, method, "notes", r.until(1, time.Hour), "x", "If-None-Match", "*")
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "2" || strings.Contains(body, "secret address") {
			t.Errorf("%s: %d %s", method, resp.StatusCode, body)
		}
	}
}
