package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
)

// forgetful is a legacy server that keeps sessions until it is started again.
type forgetful struct {
	mu       sync.Mutex
	version  string // of the protocol; the client's where empty
	name     string // its own
	refusal  int    // status for a session that it does not know
	denial   int    // status for what comes in one that it knows
	broken   int    // status of initialize
	nameless bool   // it begins no session
	stream   bool   // initialize and calls are answered in streams
	begun    int
	known    map[string]bool // whether the client said that it is ready
	hellos   []string        // params of initialize
	messages []string        // what came within a session that is known: "METHOD SESSION"
	spoken   []string        // "METHOD REVISION" of what came with and without a session
	wishes   []string        // "METHOD PARAMS" of what was asked of a session that is known
	refuses  string          // methods of which it answers an error
	slow     time.Duration   // initialize takes so long
}

func newForgetful() *forgetful {
	return &forgetful{name: "s", refusal: http.StatusNotFound, known: map[string]bool{}}
}

func (f *forgetful) restart(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known, f.name = map[string]bool{}, name
}

func (f *forgetful) seen() (messages, hellos []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	messages, hellos, f.messages, f.hellos = f.messages, f.hellos, nil, nil
	return messages, hellos
}

func (f *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			panic(err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoken = append(f.spoken, m.Method+" "+r.Header.Get(mcp.HeaderVersion))
	if m.Method == "initialize" {
		f.initialize(w, m.ID, m.Params)
		return
	}
	id := r.Header.Get(mcp.HeaderSession)
	ready, known := f.known[id]
	if !known {
		http.Error(w, "session not found", f.refusal)
		return
	}
	if m.Method != "ping" {
		f.messages = append(f.messages, strings.TrimSpace(r.Method+" "+m.Method)+" "+id)
	}
	switch {
	case f.denial > 0 && m.Method != "ping":
		http.Error(w, "not this one", f.denial)
	case r.Method == http.MethodDelete:
		delete(f.known, id)
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n")
	case m.ID == nil:
		f.known[id] = ready || m.Method == "notifications/initialized"
		w.WriteHeader(http.StatusAccepted)
	case !ready:
		http.Error(w, "not initialized", http.StatusInternalServerError)
	case strings.Contains(f.refuses, m.Method):
		answerJSON(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`, m.ID))(w, nil)
	default:
		if m.Method != "tools/call" && m.Method != "ping" {
			f.wishes = append(f.wishes, m.Method+" "+string(m.Params))
		}
		w.Header().Set(mcp.HeaderSession, id)
		f.answer(w, m.ID, `{"ran":"`+m.Method+`"}`)
	}
}

func (f *forgetful) initialize(w http.ResponseWriter, id, params json.RawMessage) {
	var p struct {
		Version string `json:"protocolVersion"`
	}
	_ = json.Unmarshal(params, &p)
	f.hellos = append(f.hellos, string(params))
	if f.broken > 0 {
		http.Error(w, "not now", f.broken)
		return
	}
	f.begun++
	session := fmt.Sprintf("inner-%d", f.begun)
	f.known[session] = false
	if f.slow > 0 {
		f.mu.Unlock()
		time.Sleep(f.slow)
		f.mu.Lock()
	}
	if f.version != "" {
		p.Version = f.version
	}
	if !f.nameless {
		w.Header().Set(mcp.HeaderSession, session)
	}
	f.answer(w, id, fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":%q,"version":"1"}}`, p.Version, f.name))
}

func (f *forgetful) answer(w http.ResponseWriter, id json.RawMessage, result string) {
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
	if !f.stream {
		answerJSON(message)(w, nil)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: "+message+"\n\n")
}

// The params of an initialize, and what of it a server is told again.
const (
	hello      = `{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true}, "sampling":{}},"clientInfo":{"title":"T","name":"c","version":"2"},"_meta":{"x":1}}`
	helloAgain = `{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{}},"clientInfo":{"name":"c","version":"2"}}`
)

// initialize begins a session of alice's, as a client does.
func (r *rig) initialize(t *testing.T) (sealed string) {
	t.Helper()
	resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+hello+`}`)
	sealed = resp.Header.Get(mcp.HeaderSession)
	if resp.StatusCode != 200 || sealed == "" || len(sealed) > 1024 || !strings.Contains(body, `"protocolVersion":"2025-11-25"`) {
		t.Fatalf("initialize: %d %s, session %q", resp.StatusCode, body, sealed)
	}
	if resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","method":"notifications/initialized"}`, r.within(sealed)...); resp.StatusCode != 202 {
		t.Fatalf("initialized: %d %s", resp.StatusCode, body)
	}
	return sealed
}

func (r *rig) within(sealed string) []string {
	return []string{mcp.HeaderSession, sealed, mcp.HeaderVersion, "2025-11-25"}
}

// newLife is what a pod's end leaves of the shim: nothing.
func (r *rig) newLife() {
	to := r.chain.forward.Config
	to.Living = session.NewLiving()
	var err error
	if to.States != nil {
		config := to.States.Config
		config.Life = to.Living.Life()
		if to.States, err = state.New(config); err != nil {
			panic(err)
		}
	}
	forwarder, err := forward.New(to)
	if err != nil {
		panic(err)
	}
	r.chain.living, r.chain.states, r.chain.forward = to.Living, to.States, forwarder
}
