package main

import (
	"context"
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

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/state"
)

// sessionStore is functions/sessions as a shim sees it.
type sessionStore struct {
	*httptest.Server
	mu      sync.Mutex
	records map[string][]byte
	version map[string]int
	asked   []string // methods
	down    bool
}

func newSessionStore(t *testing.T) *sessionStore {
	s := &sessionStore{records: map[string][]byte{}, version: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sessionStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method)
	if s.down || r.Header.Get("Authorization") != "Bearer github.token" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	name, tag := strings.TrimPrefix(r.URL.Path, "/sessions/"), ""
	if s.version[name] > 0 {
		tag = fmt.Sprintf(`"%d"`, s.version[name])
	}
	switch {
	case r.Method == http.MethodGet && tag == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		w.Header().Set("Etag", tag)
		_, _ = w.Write(s.records[name])
	case r.Header.Get("If-Match") != tag || (r.Header.Get("If-None-Match") == "*") != (tag == ""):
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		s.version[name]++
		s.records[name], _ = io.ReadAll(r.Body)
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, s.version[name]))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *sessionStore) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// count are the requests since the last time.
func (s *sessionStore) count() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.asked = nil }()
	return strings.Join(s.asked, " ")
}

// newStateRig is a rig whose shim has a session store.
func newStateRig(t *testing.T) (*rig, *forgetful, *sessionStore) {
	t.Helper()
	server, store := newForgetful(), newSessionStore(t)
	r := newRig(t, server.ServeHTTP)
	client, err := state.NewClient(state.ClientConfig{URL: store.URL + "/sessions", Credential: secret.New("github.token")})
	if err != nil {
		t.Fatal(err)
	}
	to := r.chain.forward.Config
	to.States, err = state.New(state.Config{Store: client, Sealer: to.Sealer, Life: to.Living.Life(), Logger: slog.New(slog.DiscardHandler),
		Observed: func(context.Context, string, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	if r.chain.forward, err = forward.New(to); err != nil {
		t.Fatal(err)
	}
	r.chain.states = to.States
	return r, server, store
}

// wishes are what the server was asked of sessions since the last time.
func (f *forgetful) wished() (wishes []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wishes, f.wishes = f.wishes, nil
	return wishes
}

func (r *rig) wish(t *testing.T, sealed, method, params string) {
	t.Helper()
	resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":"w","method":"`+method+`","params":`+params+`}`, r.within(sealed)...)
	if resp.StatusCode != 200 || !strings.Contains(body, "w") {
		t.Fatalf("%s: %d %s", method, resp.StatusCode, body)
	}
}

func (r *rig) calls(t *testing.T, sealed string, want int) {
	t.Helper()
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != want {
		t.Fatalf("a call: %d %s", resp.StatusCode, body)
	}
}

// sleep is the end of a pod, and the begin of the next.
func (r *rig) sleep(server *forgetful) {
	server.restart("s")
	r.newLife()
}

const (
	level = `{"level":"debug"}`
	fileA = `{"uri":"file:///a"}`
	fileB = `{"uri":"file:///b"}`
)

// A server that is new is asked for what the client had asked of the one before, once, before the call; a change in its life is
// known in the next.
func TestWishesOutliveTheServer(t *testing.T) {
	for name, stream := range map[string]bool{"JSON": false, "streams": true} {
		t.Run(name, func(t *testing.T) {
			r, server, store := newStateRig(t)
			server.stream = stream
			sealed := r.initialize(t)
			r.calls(t, sealed, 200)
			if asked := store.count(); asked != "" {
				t.Errorf("of a session that asked for nothing the store is asked %s", asked)
			}
			r.wish(t, sealed, "logging/setLevel", level)
			r.wish(t, sealed, "resources/subscribe", fileA)
			r.wish(t, sealed, "resources/subscribe", fileB)
			if asked := store.count(); asked != "PUT PUT PUT" {
				t.Errorf("three changes: %s", asked)
			}
			server.wished()
			r.sleep(server)
			r.calls(t, sealed, 200)
			r.calls(t, sealed, 200)
			want := []string{"logging/setLevel " + level, "resources/subscribe " + fileA, "resources/subscribe " + fileB}
			if got := server.wished(); !slices.Equal(got, want) {
				t.Errorf("the second server is asked for %q", got)
			}
			if asked := store.count(); asked != "GET" {
				t.Errorf("in the second life: %s", asked)
			}
			r.wish(t, sealed, "resources/unsubscribe", fileA)
			server.wished()
			r.sleep(server)
			r.calls(t, sealed, 200)
			if got := server.wished(); !slices.Equal(got, []string{want[0], want[2]}) {
				t.Errorf("the third server is asked for %q", got)
			}
			server.restart("s") // alone
			r.calls(t, sealed, 200)
			if got := server.wished(); !slices.Equal(got, []string{want[0], want[2]}) {
				t.Errorf("the fourth server is asked for %q", got)
			}
			if messages, _ := server.seen(); messages[len(messages)-1] != "POST tools/call inner-4" {
				t.Errorf("the last it saw was %s", messages[len(messages)-1])
			}
		})
	}
}

// What the server did not grant is not asked of the next.
func TestOnlyWhatWasGranted(t *testing.T) {
	r, server, store := newStateRig(t)
	sealed := r.initialize(t)
	server.refuses = "resources/subscribe"
	r.wish(t, sealed, "resources/subscribe", fileA)
	if asked := store.count(); asked != "" {
		t.Errorf("the store is asked %s", asked)
	}
	server.refuses = ""
	r.sleep(server)
	r.calls(t, sealed, 200)
	if got := server.wished(); got != nil {
		t.Errorf("the next is asked for %q", got)
	}
}

// A session that its client ended is over in every life to come, for every method, without a word to the server; the record
// says so.
func TestEndedForEver(t *testing.T) {
	for name, asleep := range map[string]bool{"at a server that knows it": false, "at a server that is new": true} {
		t.Run(name, func(t *testing.T) {
			r, server, store := newStateRig(t)
			sealed, other := r.initialize(t), r.initialize(t)
			r.wish(t, sealed, "logging/setLevel", level)
			if asleep {
				r.sleep(server)
			}
			store.count()
			if resp, body := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...)); resp.StatusCode >= 300 {
				t.Fatalf("DELETE: %d %s", resp.StatusCode, body)
			}
			if asked := store.count(); !strings.HasSuffix(asked, "PUT") {
				t.Errorf("answered before it was written: %s", asked)
			}
			for range 3 {
				r.sleep(server)
				server.seen()
				r.calls(t, sealed, 404)
				r.calls(t, sealed, 404)
				for _, method := range []string{"GET", "DELETE"} {
					if resp, _ := r.do(t, r.request(t, method, r.engineer(t), "", r.within(sealed)...)); resp.StatusCode != 404 {
						t.Errorf("%s: %d", method, resp.StatusCode)
					}
				}
				if messages, hellos := server.seen(); messages != nil || hellos != nil {
					t.Errorf("the server saw %q, %q", messages, hellos)
				}
				if asked := store.count(); asked != "GET" {
					t.Errorf("in a life: %s", asked)
				}
				records := r.records.all()
				if last := records[len(records)-1]; last.Outcome != audit.Refused || last.ResponseStatus != 404 || !strings.Contains(last.Error, "the client ended it") {
					t.Errorf("recorded as %+v", last)
				}
				r.calls(t, other, 200)
				store.count()
			}
		})
	}
}

// What the caller may no longer ask for is not asked in their name: policies may have changed since.
func TestWishesAreDecidedAnew(t *testing.T) {
	r, server, _ := newStateRig(t)
	sealed := r.initialize(t)
	r.wish(t, sealed, "logging/setLevel", level)
	r.wish(t, sealed, "resources/subscribe", fileA)
	r.wish(t, sealed, "resources/subscribe", fileB)
	server.wished()
	r.reload(t, append(r.rules.Policies, policy.Policy{Name: "no-a", Deny: &policy.Subjects{Anyone: true}, Servers: []string{"github"}, Resources: []string{"file:///a"}})...)
	r.sleep(server)
	r.calls(t, sealed, 200)
	if got := server.wished(); !slices.Equal(got, []string{"logging/setLevel " + level, "resources/subscribe " + fileB}) {
		t.Errorf("the next server is asked for %q", got)
	}
}

// With a store that is down calls go on, and what is asked for meanwhile holds; what could not be read is asked for when it is
// back.
func TestSessionStoreDown(t *testing.T) {
	r, server, store := newStateRig(t)
	sealed, ended := r.initialize(t), r.initialize(t)
	r.wish(t, sealed, "logging/setLevel", level)
	store.set(true)
	r.wish(t, sealed, "resources/subscribe", fileA)
	if resp, body := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(ended)...)); resp.StatusCode != 200 {
		t.Fatalf("DELETE: %d %s", resp.StatusCode, body)
	}
	r.calls(t, ended, 404)
	store.set(false)
	r.chain.states.Close(t.Context()) // as when the shim leaves
	store.set(true)
	r.sleep(server)
	server.wished()
	r.calls(t, sealed, 200)
	if got := server.wished(); got != nil {
		t.Errorf("without the store the server is asked for %q", got)
	}
	store.set(false)
	deadline := time.Now().Add(20 * time.Second)
	var got []string
	for got == nil && time.Now().Before(deadline) {
		time.Sleep(500 * time.Millisecond)
		r.calls(t, sealed, 200)
		got = server.wished()
	}
	if !slices.Equal(got, []string{"logging/setLevel " + level, "resources/subscribe " + fileA}) {
		t.Errorf("with the store back the server is asked for %q", got)
	}
	r.calls(t, ended, 404)
}

// The record is the session's: nobody else's id leads to it, and a strict server's shim has none.
func TestStatesOfOthers(t *testing.T) {
	r, server, store := newStateRig(t)
	sealed := r.initialize(t)
	r.wish(t, sealed, "logging/setLevel", level)
	r.sleep(server)
	store.count()
	for what, id := range map[string]string{"altered": sealed[:len(sealed)-2] + "AA", "another's": sealed} {
		token := r.engineer(t)
		if what == "another's" {
			token = r.seller(t)
		}
		resp, body := r.post(t, token, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, r.within(id)...)
		if resp.StatusCode != 404 {
			t.Errorf("%s: %d %s", what, resp.StatusCode, body)
		}
	}
	if asked := store.count(); asked != "" {
		t.Errorf("the store is asked %s", asked)
	}
}

// What is asked of the session store is counted, and what failed apart from it; neither says whose session it is.
func TestSessionRecordsAreCounted(t *testing.T) {
	r, server, store := newStateRig(t)
	collector, stop := observed(t, r)
	config := r.chain.states.Config
	config.Observed = r.chain.observe.SessionRecord
	var err error
	if r.chain.forward.States, err = state.New(config); err != nil {
		t.Fatal(err)
	}
	r.chain.states = r.chain.forward.States
	sealed := r.initialize(t)
	r.wish(t, sealed, "logging/setLevel", level)
	r.wish(t, sealed, "resources/subscribe", fileA)
	r.sleep(server)
	r.calls(t, sealed, 200)
	store.set(true)
	r.wish(t, sealed, "resources/subscribe", fileB)
	stop()
	got := map[string]int64{}
	for _, m := range collector.Metrics() {
		if m.Name != "mcpgateway.session.records" {
			continue
		}
		for _, p := range m.GetSum().DataPoints {
			name := ""
			for _, a := range p.Attributes {
				name += a.Key + "=" + a.Value.GetStringValue() + " "
			}
			got[name] += p.GetAsInt()
		}
	}
	want := map[string]int64{"mcpgateway.session.operation=read ": 1, "mcpgateway.session.operation=write ": 2, "error.type=_OTHER mcpgateway.session.operation=write ": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
