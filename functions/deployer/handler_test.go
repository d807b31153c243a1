package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/egress"
)

// fakeRunner remembers what it was asked.
type fakeRunner struct {
	mu    sync.Mutex
	asked []string
	plan  deploy.Plan // of the last Ensure
	err   error       // what Ensure, Find and List fail with
	up    []deploy.Status
	rules map[string][]byte
	needs []deploy.Need // of the last Prepare
	// egress is what servers were last opened to, retained who is there.
	egress   map[string]string
	retained []string
	// deployed are the hashes that plans were last put in force with.
	deployed map[deploy.KeyID]string
	gone     context.CancelFunc // called during an Ensure, as a caller who leaves would
	meant    func() error       // called during an Ensure; what it returns becomes of the start
}

func (f *fakeRunner) note(words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.Join(words, " "))
}

func (f *fakeRunner) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	f.note("ensure", p.Server)
	f.plan = p
	if f.gone != nil {
		f.gone()
		return deploy.Instance{}, context.Canceled
	}
	if f.meant != nil {
		return deploy.Instance{ID: "i", URL: "unix:///s", Cold: true}, f.meant()
	}
	return deploy.Instance{ID: "i", URL: "unix:///s", Cold: true}, f.err
}

func (f *fakeRunner) Find(_ context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	f.note("find", key.Server)
	return deploy.Instance{ID: "i", URL: "unix:///s"}, f.err == nil, f.err
}

func (f *fakeRunner) List(context.Context) ([]deploy.Status, error) { return f.up, f.err }

func (f *fakeRunner) Deploy(_ context.Context, p deploy.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deployed[p.Key().ID()] = p.Hash
	return nil
}

func (f *fakeRunner) Remove(_ context.Context, key deploy.Key) error {
	f.note("remove", key.Server)
	return nil
}

func (f *fakeRunner) RemoveAsleep(_ context.Context, key deploy.Key, since time.Time) (bool, error) {
	f.note("remove asleep", key.Server, key.Owner.Subject, time.Since(since).Round(time.Hour).String())
	return true, nil
}

func (f *fakeRunner) SetRules(_ context.Context, server string, signed []byte) error {
	f.note("rules", server)
	f.rules[server] = signed
	return nil
}

func (f *fakeRunner) Rules(server string) ([]byte, error) {
	if f.rules[server] == nil {
		return nil, fs.ErrNotExist
	}
	return f.rules[server], nil
}

func (f *fakeRunner) SetEgress(_ context.Context, server string, rules []egress.Rule) error {
	f.egress[server] = egress.Format(rules)
	return nil
}

func (f *fakeRunner) Retain(_ context.Context, servers []string) error {
	f.retained = servers
	return nil
}

func (f *fakeRunner) Prepare(_ context.Context, needs []deploy.Need) error {
	f.needs = needs
	return nil
}

// entry is a server as the catalog's loader passes it.
func entry(id string) catalog.Server {
	return catalog.Server{
		ID: id, Runtime: catalog.Runtime{Command: &catalog.Command{Exec: "server", HTTP: &catalog.HTTP{}}},
		Scale:   catalog.Scale{Idle: catalog.Duration(time.Minute), Max: 1},
		Startup: catalog.Startup{Timeout: catalog.Duration(time.Minute)},
	}
}

// newDeployer has a shared server, one of each user's own, and one that cannot be planned.
func newDeployer(log io.Writer) (*deployer, *fakeRunner) {
	own, broken := entry("own"), entry("broken")
	own.Instances.PerUser = true
	broken.Runtime = catalog.Runtime{}
	runner := &fakeRunner{rules: map[string][]byte{}, egress: map[string]string{}, deployed: map[deploy.KeyID]string{}}
	d := &deployer{runner: runner, key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), log: slog.New(slog.NewTextHandler(log, nil)), changed: make(chan struct{}, 1)}
	d.files.Store(&documents.Version{Platform: &catalog.Platform{}, Catalog: &catalog.Catalog{Servers: []catalog.Server{entry("shared"), own, broken}}})
	return d, runner
}

func TestHandler(t *testing.T) {
	const instance, failure = `{"id":"i","url":"unix:///s","cold":true}`, `{"code":"unavailable","message":"The deployer was asked something it does not understand."}`
	const unknown = `{"code":"unknown","message":"The catalog has no such server."}`
	limit := &deploy.StartError{Code: deploy.CodeLimit, Message: "Too many.", RetryAfter: 1500 * time.Millisecond, Cause: errors.New("sesame")}
	for name, c := range map[string]struct {
		method, path, body string
		err                error
		status             int
		want               string
		asked              []string
	}{
		"ensure":           {"POST", "/ensure", `{"server":"shared"}`, nil, 200, instance, []string{"ensure shared"}},
		"ensure own":       {"POST", "/ensure", `{"server":"own","owner":{"issuer":"i","subject":"s"}}`, nil, 200, instance, []string{"ensure own"}},
		"find":             {"POST", "/find", `{"server":"shared"}`, nil, 200, `{"found":true,"instance":{"id":"i","url":"unix:///s","cold":false}}`, []string{"find shared"}},
		"find unknown":     {"POST", "/find", `{"server":"gone"}`, nil, 200, `{"found":true,"instance":{"id":"i","url":"unix:///s","cold":false}}`, []string{"find gone"}},
		"status":           {"GET", "/status", ``, nil, 200, `[{"key":{"server":"shared"},"id":"i","hash":"h","ready":true,"memory":9}]`, nil},
		"unknown":          {"POST", "/ensure", `{"server":"gone"}`, nil, 404, unknown, nil},
		"owner of shared":  {"POST", "/ensure", `{"server":"shared","owner":{"issuer":"i","subject":"s"}}`, nil, 404, unknown, nil},
		"own without one":  {"POST", "/ensure", `{"server":"own"}`, nil, 404, unknown, nil},
		"no plan":          {"POST", "/ensure", `{"server":"broken"}`, nil, 503, `{"code":"unavailable","message":"The server cannot be started as it is configured.","retryAfterMs":30000}`, nil},
		"limit":            {"POST", "/ensure", `{"server":"shared"}`, limit, 429, `{"code":"limit","message":"Too many.","retryAfterMs":1500}`, []string{"ensure shared"}},
		"timeout":          {"POST", "/ensure", `{"server":"shared"}`, &deploy.StartError{Code: deploy.CodeTimeout, Message: "Late."}, 504, `{"code":"timeout","message":"Late."}`, []string{"ensure shared"}},
		"unexpected":       {"POST", "/find", `{"server":"shared"}`, errors.New("disk /sesame full"), 503, `{"code":"unavailable","message":"The server cannot be started now.","retryAfterMs":1000}`, []string{"find shared"}},
		"status fails":     {"GET", "/status", ``, errors.New("sesame"), 503, `{"code":"unavailable","message":"The server cannot be started now.","retryAfterMs":1000}`, nil},
		"a plan, not name": {"POST", "/ensure", `{"server":"shared","units":[{"command":["sh"]}]}`, nil, 400, failure, nil},
		"two":              {"POST", "/ensure", `{"server":"shared"}{"server":"own"}`, nil, 400, failure, nil},
		"trailing":         {"POST", "/ensure", `{"server":"shared"} x`, nil, 400, failure, nil},
		"half an owner":    {"POST", "/ensure", `{"server":"own","owner":{"subject":"s"}}`, nil, 400, failure, nil},
		"no server":        {"POST", "/find", `{}`, nil, 400, failure, nil},
		"no JSON":          {"POST", "/find", `server=shared`, nil, 400, failure, nil},
		"too long":         {"POST", "/find", `{"server":"` + strings.Repeat("a", maxQuestion) + `"}`, nil, 400, failure, nil},
		"other method":     {"GET", "/ensure", ``, nil, 405, "Method Not Allowed", nil},
		"other path":       {"POST", "/remove", `{"server":"shared"}`, nil, 404, "404 page not found", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, runner := newDeployer(io.Discard)
			runner.err, runner.up = c.err, []deploy.Status{{Key: deploy.Key{Server: "shared"}, ID: "i", Hash: "h", Ready: true, Memory: 9}}
			w := httptest.NewRecorder()
			d.handler().ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if got := strings.TrimSpace(w.Body.String()); w.Code != c.status || got != c.want {
				t.Errorf("answer %d %s, want %d %s", w.Code, got, c.status, c.want)
			}
			if strings.Contains(w.Body.String(), "sesame") {
				t.Error("a cause is told")
			}
			if diff := cmp.Diff(c.asked, runner.asked); diff != "" {
				t.Errorf("the runner was asked something else:\n%s", diff)
			}
		})
	}
}

func TestEnsurePlansByTheCatalog(t *testing.T) {
	d, runner := newDeployer(io.Discard)
	body := `{"server":"own","owner":{"issuer":"https://issuer","subject":"alice"}}`
	d.handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/ensure", strings.NewReader(body)))
	server, _ := d.files.Load().Catalog.Server("own")
	want, err := deploy.MakePlan(*server, nil, deploy.Options{RulesKey: d.public(), Owner: &deploy.Owner{Issuer: "https://issuer", Subject: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, runner.plan); diff != "" {
		t.Errorf("another plan:\n%s", diff)
	}
}

func TestNobodyAnswersWhoHasGone(t *testing.T) {
	var log strings.Builder
	d, runner := newDeployer(&log)
	ctx, cancel := context.WithCancel(context.Background())
	runner.gone = cancel
	r := httptest.NewRequest("POST", "/ensure", strings.NewReader(`{"server":"shared"}`)).WithContext(ctx)
	w := httptest.NewRecorder()
	d.handler().ServeHTTP(w, r)
	if w.Body.Len() > 0 || log.Len() > 0 {
		t.Errorf("answered %q and logged %q", w.Body, &log)
	}
}

// FuzzQuestion proves that nothing but names gets through.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"server":"shared"}`))
	f.Add([]byte(`{"server":"own","owner":{"issuer":"i","subject":"s"}}`))
	f.Add([]byte(`{"server":"shared","server":"own","SERVER":"x"}`))
	f.Add([]byte(`{"server":"broken","owner":null}`))
	f.Add([]byte(`{"server":"shared"}     `)) // the fuzzer never appends
	f.Fuzz(func(t *testing.T, body []byte) {
		d, runner := newDeployer(io.Discard)
		w := httptest.NewRecorder()
		d.handler().ServeHTTP(w, httptest.NewRequest("POST", "/ensure", strings.NewReader(string(body))))
		if w.Code == http.StatusOK != (len(runner.asked) == 1) {
			t.Errorf("answer %d, asked %v", w.Code, runner.asked)
		}
		if len(runner.asked) == 1 && runner.plan.Server != "shared" && runner.plan.Server != "own" {
			t.Errorf("planned %+v", runner.plan)
		}
		if members := map[string]json.RawMessage{}; len(runner.asked) == 1 {
			if err := json.Unmarshal(body, &members); err != nil {
				t.Errorf("%q was taken: %v", body, err)
			}
			for name := range members {
				if !strings.EqualFold(name, "server") && !strings.EqualFold(name, "owner") {
					t.Errorf("%q was taken with %q", body, name)
				}
			}
		}
	})
}
