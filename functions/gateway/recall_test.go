package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/sealedtoken"
)

// keptRig is a rig whose server github has discovery: cached, with what its shim left.
type keptRig struct {
	*rig
	key   *lists.Key
	left  atomic.Pointer[[]byte] // sealed; nil: nothing
	asked atomic.Int32           // for it
}

var keptPolicies = []policy.Policy{
	{Name: "all", Allow: &policy.Subjects{Groups: []string{"engineering"}}, Servers: []string{"github"}},
	{Name: "no secrets", Deny: &policy.Subjects{Anyone: true}, Servers: []string{"*"}, Tools: []string{"secret"}, Prompts: []string{"secret"}},
	{Name: "condition", Deny: &policy.Subjects{Users: []string{"carol"}}, Servers: []string{"github"}, Tools: []string{"get"}, When: "true"},
}

func newKeptRig(t *testing.T) *keptRig {
	t.Helper()
	k := &keptRig{rig: newRig(t, answerJSON)}
	place := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		if left := k.left.Load(); left != nil && r.URL.RequestURI() == "/lists?server=github" {
			_, _ = w.Write(*left)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(place.Close)
	secrets := t.TempDir()
	shared := []byte(strings.Repeat("k", 32))
	if err := os.WriteFile(filepath.Join(secrets, sealedtoken.SharedFile), shared, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if k.key, err = lists.NewKey(sealedtoken.Key(shared, "github"), "github"); err != nil {
		t.Fatal(err)
	}
	k.version.Platform.Audit = &catalog.AuditSink{URL: place.URL + "/audit", Store: &catalog.AuditStore{}}
	k.version.Platform.Deployer.Secrets = secrets
	k.govern(t, keptPolicies)
	return k
}

// govern puts policies in force.
func (k *keptRig) govern(t *testing.T, policies []policy.Policy) {
	t.Helper()
	c := *k.version.Catalog
	c.Servers = slices.Clone(c.Servers)
	c.Servers[0].Discovery, c.Servers[0].Sessions, c.Policies = "cached", "survive", policies
	v, err := documents.New(k.version.Platform, &c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.gateway.accept(v); err != nil {
		t.Fatal(err)
	}
	k.version = v
}

// snapshot is what the shim of the entry in force leaves.
func (k *keptRig) snapshot(t *testing.T) *lists.Snapshot {
	t.Helper()
	print, err := policy.Fingerprint(policy.Concerning(k.version.Catalog.Policies, "github"))
	if err != nil {
		t.Fatal(err)
	}
	result := func(text string) lists.Result { return lists.Result{Value: json.RawMessage(text)} }
	const three = `[{"name":"get"},{"name":"secret"},{"name":"set"}]`
	return &lists.Snapshot{Server: "github", Revision: k.version.Catalog.Servers[0].Revision(), Policies: print, Made: time.Now(),
		Version: "2025-11-25", Answer: [8]byte{7}, Sessions: true,
		Legacy: map[string]lists.Result{"tools/list": result(`{"tools":` + three + `}`), "prompts/list": result(`{"prompts":[{"name":"secret"}]}`),
			"initialize": result(`{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"kept","version":"1"}}`)},
		Modern: map[string]lists.Result{"tools/list": {Value: json.RawMessage(`{"resultType":"complete","tools":` + three + `}`), Until: time.Now().Add(time.Minute)},
			"server/discover": result(`{"resultType":"complete","supportedVersions":["2026-07-28"]}`)}}
}

// leave seals a snapshot as a shim does, and has it where the gateway looks.
func (k *keptRig) leave(t *testing.T, s *lists.Snapshot) {
	t.Helper()
	sealed, err := k.key.Seal(s)
	if err != nil {
		t.Fatal(err)
	}
	k.left.Store(&sealed)
	k.gateway.shelf.forget("github")
}

const hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"2"}}}`

func listing(method, params string) string {
	return `{"jsonrpc":"2.0","id":"x","method":"` + method + `","params":{` + params + `}}`
}

const modernParams = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// within are the headers of a legacy session.
func within(session string) []string {
	return []string{"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25"}
}

func modernly(method string) []string {
	return []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method}
}

// begin begins a session at the gateway.
func (k *keptRig) begin(t *testing.T) (session string) {
	t.Helper()
	resp, body := k.do(t, k.request(t, "POST", "github", hello))
	session = resp.Header.Get(mcp.HeaderSession)
	if resp.StatusCode != 200 || !lists.IsSession(session) || !strings.Contains(body, `"kept"`) || !strings.Contains(body, `"id":1`) {
		t.Fatalf("%d %q %s", resp.StatusCode, session, body)
	}
	return session
}

// rested returns when nobody wakes the server any more, and has it sleep again.
func (k *keptRig) rested(t *testing.T) {
	t.Helper()
	for {
		k.gateway.servers.mu.Lock()
		n := len(k.gateway.servers.rousing)
		k.gateway.servers.mu.Unlock()
		if n == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	k.deployer.sleep()
}

func TestRecall(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	k.rested(t)
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    string
	}{
		"legacy":          {listing("tools/list", ""), within(session), `{"jsonrpc":"2.0","id":"x","result":{"tools":[{"name":"get"},{"name":"set"}]}}`},
		"without params":  {`{"jsonrpc":"2.0","id":3,"method":"tools/list"}`, within(session), `{"jsonrpc":"2.0","id":3,"result":{"tools":[{"name":"get"},{"name":"set"}]}}`},
		"modern":          {listing("tools/list", modernParams), modernly("tools/list"), `"tools":[{"name":"get"},{"name":"set"}]`},
		"modern discover": {listing("server/discover", modernParams), modernly("server/discover"), `{"jsonrpc":"2.0","id":"x","result":{"cacheScope":"private","ttlMs":0,"resultType":"complete","supportedVersions":["2026-07-28"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := k.do(t, k.request(t, "POST", "github", c.body, c.headers...))
			if resp.StatusCode != 200 || !strings.Contains(body, c.want) || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get(mcp.HeaderSession) != "" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if name == "modern" {
				var m struct {
					Result struct {
						TTLMs      int
						CacheScope string
					}
				}
				if err := json.Unmarshal([]byte(body), &m); err != nil || m.Result.CacheScope != "private" || m.Result.TTLMs < 50_000 || m.Result.TTLMs > 60_000 {
					t.Errorf("%v: %s", err, body)
				}
			}
			k.rested(t)
		})
	}
	if n := k.deployer.ensured.Load(); n != 5 {
		t.Errorf("woken %d times by 5 answers", n)
	}
}

// What nobody said of the server as it is now, or what only the server and its shim can answer, they are asked.
func TestRecallAsksTheServer(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	k.rested(t)
	list := listing("tools/list", "")
	carol := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+k.token(t, "carol", "github")) }
	forged, err := lists.NewKey([]byte(strings.Repeat("f", 32)), "github")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body    string
		headers []string
		left    func(s *lists.Snapshot)
		seal    *lists.Key
		request func(*http.Request)
	}{
		"another revision":       {list, within(session), func(s *lists.Snapshot) { s.Revision = "older" }, nil, nil},
		"other policies":         {list, within(session), func(s *lists.Snapshot) { s.Policies = "older" }, nil, nil},
		"too old":                {list, within(session), func(s *lists.Snapshot) { s.Made = s.Made.Add(-lists.MaxAge - time.Minute) }, nil, nil},
		"forged":                 {list, within(session), nil, forged, nil},
		"no such list":           {list, within(session), func(s *lists.Snapshot) { delete(s.Legacy, "tools/list") }, nil, nil},
		"an empty list":          {list, within(session), func(s *lists.Snapshot) { s.Legacy["tools/list"] = lists.Result{Value: []byte(`{"tools":[]}`)} }, nil, nil},
		"nothing for the caller": {listing("prompts/list", ""), within(session), nil, nil, nil},
		"no strict JSON": {list, within(session), func(s *lists.Snapshot) {
			s.Legacy["tools/list"] = lists.Result{Value: []byte(`{"tools":[{"name":"get","name":"secret"}]}`)}
		}, nil, nil},
		"not fresh any more": {listing("tools/list", modernParams), modernly("tools/list"), func(s *lists.Snapshot) {
			r := s.Modern["tools/list"]
			r.Until = time.Now()
			s.Modern["tools/list"] = r
		}, nil, nil},
		"a condition":             {list, within(session), nil, nil, carol},
		"a page":                  {listing("tools/list", `"cursor":"2"`), within(session), nil, nil, nil},
		"a batch":                 {"[" + list + "]", within(session), nil, nil, nil},
		"a call":                  {listing("tools/call", `"name":"get"`), within(session), nil, nil, nil},
		"no session":              {list, []string{"MCP-Protocol-Version", "2025-11-25"}, nil, nil, nil},
		"the shim's session":      {list, within("s2.abc"), nil, nil, nil},
		"another revision of MCP": {list, []string{"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-06-18"}, nil, nil, nil},
		"hello in another one":    {strings.Replace(hello, "2025-11-25", "2025-06-18", 1), nil, nil, nil, nil},
		"hello in a session":      {hello, within(session), nil, nil, nil},
		"a long hello":            {strings.Replace(hello, `"c"`, `"`+strings.Repeat("c", lists.MaxSession)+`"`, 1), nil, nil, nil, nil},
		"no capabilities":         {listing("tools/list", `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`), modernly("tools/list"), nil, nil, nil},
		"another method in it":    {listing("tools/list", modernParams), modernly("prompts/list"), nil, nil, nil},
		"a later revision":        {strings.ReplaceAll(listing("tools/list", modernParams), "2026-07-28", "2027-01-01"), []string{"MCP-Protocol-Version", "2027-01-01", "Mcp-Method", "tools/list"}, nil, nil, nil},
		"takes no JSON":           {list, append(within(session), "Accept", "text/event-stream"), nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, before := k.snapshot(t), k.audit.records(t)
			if c.left != nil {
				c.left(s)
			}
			k.leave(t, s)
			if c.seal != nil {
				sealed, err := c.seal.Seal(s)
				if err != nil {
					t.Fatal(err)
				}
				k.left.Store(&sealed)
			}
			req := k.request(t, "POST", "github", c.body, c.headers...)
			if name == "a condition" {
				id, _ := k.key.SealSession(lists.Session{Version: "2025-11-25", Opened: time.Now()}, "https://issuer.test", "carol")
				req.Header.Set(mcp.HeaderSession, id)
			}
			if c.request != nil {
				c.request(req)
			}
			resp, body := k.do(t, req)
			if resp.StatusCode != 200 || body != "{}" { // the shim's
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if now := k.audit.records(t); len(now) != len(before) {
				t.Errorf("recorded: %+v", now[len(before):])
			}
			k.rested(t)
		})
	}
}

// An item that is denied since is not shown, whatever was left before.
func TestRecallAfterADeny(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	k.rested(t)
	deny := policy.Policy{Name: "no get", Deny: &policy.Subjects{Anyone: true}, Servers: []string{"github"}, Tools: []string{"get"}}
	k.govern(t, append(slices.Clone(keptPolicies), deny))
	if _, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within(session)...)); body != "{}" {
		t.Errorf("by the old policies: %s", body)
	}
	k.rested(t)
	k.leave(t, k.snapshot(t))
	if _, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within(session)...)); strings.Contains(body, `"get"`) || !strings.Contains(body, `"set"`) {
		t.Errorf("by the new ones: %s", body)
	}
}

// Somebody else's session is none, and wakes nothing; both are recorded.
func TestRecallRecords(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	k.rested(t)
	woken := k.deployer.ensured.Load()
	req := k.request(t, "POST", "github", listing("tools/list", ""), within(session)...)
	req.Header.Set("Authorization", "Bearer "+k.token(t, "mallory", "github"))
	if resp, body := k.do(t, req); resp.StatusCode != 404 || !strings.Contains(body, "initialize again") || !strings.Contains(body, `"id":"x"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if n := k.deployer.ensured.Load(); n != woken {
		t.Error("woken")
	}
	_, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within(session)...))
	all := k.audit.records(t)
	if len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	first, refused, list := all[0], all[1], all[2]
	if first.Outcome != audit.Answered || first.CallType != "initialize" || first.ClientName != "c" || first.ClientVersion != "2" || first.Decision != audit.Allowed || first.SessionID == "" {
		t.Errorf("%+v", first)
	}
	if refused.Outcome != audit.Refused || refused.Subject != "mallory" || refused.ResponseStatus != 404 {
		t.Errorf("%+v", refused)
	}
	if list.Outcome != audit.Answered || list.CallType != "tools/list" || list.Subject != "alice" || list.Server != "github" || list.ResponseStatus != 200 ||
		list.ResponseBytes != len(body) || list.SessionID != first.SessionID || strings.Contains(list.SessionID, session) {
		t.Errorf("%+v", list)
	}
}

// Where the server is awake it answers itself; who may wake nothing more is answered and wakes nothing; and what was left is
// fetched once for many.
func TestRecallAndWakes(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	list := func() string {
		t.Helper()
		resp, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within(session)...))
		if resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		return body
	}
	deadline := time.Now().Add(5 * time.Second)
	for list() != "{}" && time.Now().Before(deadline) { // the first answer woke it
		time.Sleep(5 * time.Millisecond)
	}
	if body := list(); body != "{}" {
		t.Errorf("awake: %s", body)
	}
	k.rested(t)
	k.version.Platform.Limits.WakesPerMinute = 1
	list() // the last wake
	k.rested(t)
	woken, asked := k.deployer.ensured.Load(), k.asked.Load()
	for range 20 {
		if body := list(); !strings.Contains(body, `"get"`) {
			t.Errorf("%s", body)
		}
	}
	k.rested(t)
	if n := k.deployer.ensured.Load(); n != woken {
		t.Errorf("woken %d times more", n-woken)
	}
	if n := k.asked.Load() - asked; n > 3 {
		t.Errorf("fetched %d times", n)
	}
}

// That there was nothing is not believed any more once the server was awake.
func TestRecallLooksAgain(t *testing.T) {
	k := newKeptRig(t)
	if _, body := k.do(t, k.request(t, "POST", "github", hello)); body != "{}" {
		t.Errorf("nothing was left: %s", body)
	}
	sealed, err := k.key.Seal(k.snapshot(t))
	if err != nil {
		t.Fatal(err)
	}
	k.left.Store(&sealed) // as its shim does before it goes
	k.rested(t)
	k.begin(t)
}

// Without sessions a client gets none, and needs none.
func TestRecallWithoutSessions(t *testing.T) {
	k := newKeptRig(t)
	s := k.snapshot(t)
	s.Sessions = false
	k.leave(t, s)
	if resp, body := k.do(t, k.request(t, "POST", "github", hello)); resp.StatusCode != 200 || resp.Header.Get(mcp.HeaderSession) != "" || !strings.Contains(body, `"kept"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	k.rested(t)
	if _, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), "MCP-Protocol-Version", "2025-11-25")); !strings.Contains(body, `"get"`) {
		t.Error(body)
	}
	k.rested(t)
	if _, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within("x")...)); body != "{}" {
		t.Errorf("with an id: %s", body)
	}
}

// Nothing is recalled where there is no key, or nobody to ask.
func TestRecallWithoutAKey(t *testing.T) {
	k := newKeptRig(t)
	k.leave(t, k.snapshot(t))
	if err := os.Remove(filepath.Join(k.version.Platform.Deployer.Secrets, sealedtoken.SharedFile)); err != nil {
		t.Fatal(err)
	}
	if resp, body := k.do(t, k.request(t, "POST", "github", hello)); resp.StatusCode != 200 || body != "{}" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// In a cluster the key is that of callers' tokens, and what wakes the server is a question for its shim.
func TestRecallInACluster(t *testing.T) {
	k := newKeptRig(t)
	f := inCluster(t, k.rig, answerJSON)
	f.services["mcp-github"] = asleep()
	k.gateway.shelf = newShelf(k.gateway.servers, slog.New(slog.DiscardHandler))
	var err error
	if k.key, err = lists.NewKey(sealedtoken.Key([]byte(nameKey), "github"), "github"); err != nil {
		t.Fatal(err)
	}
	k.leave(t, k.snapshot(t))
	session := k.begin(t)
	list := func() string {
		t.Helper()
		_, body := k.do(t, k.request(t, "POST", "github", listing("tools/list", ""), within(session)...))
		return body
	}
	if body := list(); !strings.Contains(body, `"get"`) {
		t.Errorf("asleep: %s", body)
	}
	deadline := time.Now().Add(10 * time.Second)
	for f.count(func() int { return f.services["mcp-github"].woken }) == 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	for list() != "{}" && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if body, woken, made := list(), f.count(func() int { return f.services["mcp-github"].woken }), f.ensured; body != "{}" || woken != 1 || made != 0 {
		t.Errorf("awake: %s, woken %d times, made %d times", body, woken, made)
	}
}
