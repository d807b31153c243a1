package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"mcpgateway/internal/lists"
	wire "mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
)

// rig is a publisher of a server, and where it leaves what that says.
type rig struct {
	*Publisher
	mu   sync.Mutex
	sent []string // methods, with the era and the session of each request
	left []byte
}

var policies = []policy.Policy{{Name: "all", Allow: &policy.Subjects{Anyone: true}, Servers: []string{"notes"}}}

// newRig asks a server that speaks the eras itself.
func newRig(t *testing.T, behind http.Handler, speaks ...wire.Era) *rig {
	t.Helper()
	r := &rig{}
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer notes.token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		left, err := lists.ReadLeft(q)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.left = left
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(at.Close)
	place, err := lists.NewPlace(at.URL, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	key, err := lists.NewKey(make([]byte, lists.KeySize), "notes")
	if err != nil {
		t.Fatal(err)
	}
	r.Publisher, err = New(Config{Server: "notes", Revision: "r1", Place: place, Credential: secret.New("notes.token"), Key: key,
		Rules:  func() *ruleset.Set { return &ruleset.Set{Rules: rules.Rules{Server: "notes", Policies: policies}} },
		Ready:  func(context.Context) error { return nil },
		Speaks: func(e wire.Era) bool { return slices.Contains(speaks, e) }, Logger: slog.New(slog.DiscardHandler),
		Ask: func(ctx context.Context, x *call.Exchange) (*http.Response, error) {
			q, err := http.NewRequestWithContext(ctx, x.Request.Method, "http://127.0.0.1/mcp", strings.NewReader(string(x.Body)))
			if err != nil {
				return nil, err
			}
			q.Header = x.Request.Header.Clone()
			if x.Session != "" {
				q.Header.Set(wire.HeaderSession, x.Session)
			}
			what := x.Request.Method
			if len(x.MCP.Messages) == 1 {
				what = x.MCP.Messages[0].Method
			}
			r.mu.Lock()
			r.sent = append(r.sent, fmt.Sprint(x.Era, " ", what, " ", x.Session != ""))
			r.mu.Unlock()
			w := httptest.NewRecorder()
			behind.ServeHTTP(w, q)
			return w.Result(), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// snapshot is what was left.
func (r *rig) snapshot(t *testing.T) *lists.Snapshot {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		return nil
	}
	s, err := r.Key.Open(r.left[32:], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// library is a server of both eras with tools, some to a page, and nothing else.
func library(tools int, options ...server.ServerOption) http.Handler {
	s := server.NewMCPServer("library", "1", append(options, server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithPaginationLimit(3))...)
	for i := range tools {
		s.AddTool(mcp.NewTool(fmt.Sprintf("tool-%03d", i)), nil)
	}
	return server.NewStreamableHTTPServer(s, server.WithEndpointPath("/mcp"), server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)))
}

func names(t *testing.T, r lists.Result) (all []string) {
	t.Helper()
	var v struct {
		Tools []struct{ Name string }
		Next  *string `json:"nextCursor"`
		TTL   *int    `json:"ttlMs"`
		Scope *string `json:"cacheScope"`
	}
	if err := json.Unmarshal(r.Value, &v); err != nil || v.Next != nil || v.TTL != nil || v.Scope != nil {
		t.Errorf("%v: %s", err, r.Value)
	}
	for _, tool := range v.Tools {
		all = append(all, tool.Name)
	}
	return all
}

func keys(m map[string]lists.Result) string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// What is left is what the server says in each era, all pages of it, as long as it says that others may have it.
func TestPublish(t *testing.T) {
	public := server.WithCacheHints(60_000, mcp.CacheScopePublic)
	for name, c := range map[string]struct {
		options        []server.ServerOption
		speaks         []wire.Era
		legacy, modern string
		until          bool // of the legacy results
	}{
		"both eras, nothing said":   {nil, []wire.Era{wire.Legacy, wire.Modern}, "initialize tools/list", "", false},
		"both eras, for all":        {[]server.ServerOption{public}, []wire.Era{wire.Legacy, wire.Modern}, "initialize tools/list", "server/discover tools/list", false},
		"for all, but not the list": {[]server.ServerOption{public, server.WithMethodCacheHints(mcp.MethodToolsList, 60_000, mcp.CacheScopePrivate)}, []wire.Era{wire.Modern}, "initialize", "server/discover", true},
		"stale at once":             {[]server.ServerOption{server.WithCacheHints(0, mcp.CacheScopePublic)}, []wire.Era{wire.Legacy, wire.Modern}, "initialize tools/list", "", false},
		"translated for modern":     {nil, []wire.Era{wire.Legacy}, "initialize tools/list", "server/discover tools/list", false},
		"translated for legacy":     {[]server.ServerOption{public}, []wire.Era{wire.Modern}, "initialize tools/list", "server/discover tools/list", true},
		"translated, nothing said":  {nil, []wire.Era{wire.Modern}, "", "", false},
		"nothing known of it":       {nil, nil, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, library(7, c.options...), c.speaks...)
			before := time.Now()
			r.Last()
			s := r.snapshot(t)
			if s == nil {
				t.Fatal("nothing was left")
			}
			if keys(s.Legacy) != c.legacy || keys(s.Modern) != c.modern {
				t.Errorf("legacy %q, modern %q", keys(s.Legacy), keys(s.Modern))
			}
			for era, m := range map[string]map[string]lists.Result{"legacy": s.Legacy, "modern": s.Modern} {
				if r, ok := m["tools/list"]; ok && (len(names(t, r)) != 7 || names(t, r)[6] != "tool-006") {
					t.Errorf("%s: %v", era, names(t, r))
				}
			}
			for _, r := range s.Legacy {
				if r.Until.IsZero() == c.until {
					t.Errorf("until %v", r.Until)
				}
			}
			print, _ := policy.Fingerprint(policies)
			if s.Server != "notes" || s.Revision != "r1" || s.Policies != print || s.Made.Before(before) || s.Version != "2025-11-25" || !s.Sessions {
				t.Errorf("%+v", s)
			}
			if got := r.sent[len(r.sent)-1]; got != "legacy DELETE true" {
				t.Errorf("the session is left with %s", got)
			}
		})
	}
}

// A server that is gone, or says nothing, leaves what there was before.
func TestPublishNothing(t *testing.T) {
	for name, behind := range map[string]http.HandlerFunc{
		"gone":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}`)
		},
	} {
		r := newRig(t, behind, wire.Legacy)
		if r.Last(); r.snapshot(t) != nil {
			t.Errorf("%s: %+v", name, r.snapshot(t))
		}
	}
	r := newRig(t, library(1), wire.Legacy)
	r.Credential = secret.New("other.token")
	if r.Last(); r.snapshot(t) != nil {
		t.Error("left with another token")
	}
}

// First waits until the server is there, and goes with its context.
func TestFirst(t *testing.T) {
	r := newRig(t, library(1), wire.Legacy)
	n := 0
	r.Ready = func(context.Context) error {
		if n++; n < 2 {
			return errors.New("not yet")
		}
		return nil
	}
	r.First(t.Context())
	if s := r.snapshot(t); s == nil || n != 2 {
		t.Errorf("%+v after %d looks", s, n)
	}
	r = newRig(t, library(1), wire.Legacy)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r.First(ctx); r.snapshot(t) != nil {
		t.Error("left although the shim goes")
	}
}

func TestPages(t *testing.T) {
	page := func(items int, more string) string {
		return `{"tools":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a"},`, items), ",") + `]` + more + `}`
	}
	for name, c := range map[string]struct {
		page func(n int, params string) (string, error)
		want string // of the error; empty: none
		none bool
		said said
	}{
		"one":       {page: func(int, string) (string, error) { return page(1, `,"ttlMs":5,"cacheScope":"public"`), nil }, said: said{scope: "public", ttl: 5 * time.Millisecond}},
		"none":      {page: func(int, string) (string, error) { return page(0, ""), nil }, none: true},
		"no array":  {page: func(int, string) (string, error) { return `{"tools":{}}`, nil }, want: "cannot unmarshal"},
		"no list":   {page: func(int, string) (string, error) { return `{}`, nil }, want: "no tools"},
		"an error":  {page: func(int, string) (string, error) { return "", errors.New("boom") }, want: "boom"},
		"asks back": {page: func(int, string) (string, error) { return `{"resultType":"input_required"}`, nil }, want: "not complete"},
		"twice":     {page: func(int, string) (string, error) { return `{"resultType":"complete","resulttype":"x","tools":[]}`, nil }, want: "resulttype"},
		"endless":   {page: func(int, string) (string, error) { return page(1, `,"nextCursor":"x"`), nil }, want: "too many pages"},
		"too long":  {page: func(int, string) (string, error) { return page(lists.MaxItems/2+1, `,"nextCursor":"x"`), nil }, want: "too long"},
		"the least counts": {page: func(n int, params string) (string, error) {
			if n == 0 {
				return page(1, `,"ttlMs":50,"cacheScope":"public","nextCursor":"a\"b"`), nil
			}
			if params != `,"cursor":"a\"b"` {
				return "", errors.New(params)
			}
			return page(1, `,"ttlMs":20,"cacheScope":"private","nextCursor":null`), nil
		}, said: said{scope: "private", ttl: 20 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			n := -1
			m, err := pages("tools", func(params string) (wire.Token, error) {
				n++
				text, err := c.page(n, params)
				return wire.Token(text), err
			})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil || (m.value == nil) != c.none || m.scope != c.said.scope || m.ttl != c.said.ttl {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	r := newRig(t, library(1))
	for name, change := range map[string]func(*Config){"no revision": func(c *Config) { c.Revision = "" }, "no credential": func(c *Config) { c.Credential = secret.Text{} },
		"no key": func(c *Config) { c.Key = nil }, "nobody to ask": func(c *Config) { c.Ask = nil }} {
		c := r.Config
		change(&c)
		if _, err := New(c); err == nil {
			t.Error(name)
		}
	}
}
