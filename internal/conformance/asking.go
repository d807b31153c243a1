package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"mcpgateway/internal/mcp"
)

// The fixture's tools that ask their client something do so in the form of one era only. As a server of one era it has those
// of the other here, in its own form: the same questions, asked as that era asks.

// step is a question of such a tool.
type step struct{ key, method, params string }

// asking are the tools of each era, whose answer is that they were answered.
var asking = map[mcp.Era]map[string][]step{
	mcp.Modern: {
		"test_sampling": {{"reply", "sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"Test prompt"}}],"maxTokens":100}`}},
		"test_elicitation": {{"user", elicit, `{"message":"Please provide your information","requestedSchema":{"type":"object","properties":` +
			`{"username":{"type":"string"},"email":{"type":"string"}},"required":["username","email"]}}`}},
		"test_elicitation_sep1034_defaults": {{"defaults", elicit, `{"message":"Test defaults","requestedSchema":{"type":"object","properties":{` +
			`"name":{"type":"string","default":"John Doe"},"age":{"type":"integer","default":30},"score":{"type":"number","default":95.5},` +
			`"status":{"type":"string","enum":["active","inactive","pending"],"default":"active"},"verified":{"type":"boolean","default":true}}}}`}},
		"test_elicitation_sep1330_enums": {{"enums", elicit, `{"message":"Test enums","requestedSchema":{"type":"object","properties":{` +
			`"untitledSingle":{"type":"string","enum":["option1","option2","option3"]},` +
			`"titledSingle":{"type":"string","oneOf":` + titled + `},` +
			`"legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},` +
			`"untitledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"string","enum":["option1","option2","option3"]}},` +
			`"titledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"anyOf":` + titled + `}}}}}`}},
	},
	mcp.Legacy: {
		"test_input_required_result_multi_round": {
			{"", elicit, `{"message":"Step 1: What is your name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}`},
			{"", elicit, `{"message":"Step 2: What is your favorite color?","requestedSchema":{"type":"object","properties":{"color":{"type":"string"}},"required":["color"]}}`},
		},
	},
}

const (
	elicit = "elicitation/create"
	titled = `[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]`
)

// asker are the questions of a legacy server that wait for their client.
type asker struct {
	mu      sync.Mutex
	asked   int
	waiting map[string]chan struct{}
}

// steps are those of the tool that a message calls; nil where it calls none of them.
func (o oneEra) steps(m *mcp.Labelled) []step {
	if m.Method != "tools/call" {
		return nil
	}
	var call struct {
		Params struct{ Name string }
	}
	if json.Unmarshal(m.Raw(), &call) != nil {
		return nil
	}
	return asking[o.era][call.Params.Name]
}

// round is a modern server's answer to a call: the next question, or the result. Its state says which was the last.
func round(m *mcp.Labelled, steps []step) []byte {
	var call struct {
		Params struct {
			RequestState   string
			InputResponses map[string]json.RawMessage
		}
	}
	_ = json.Unmarshal(m.Raw(), &call) // what is not there is the first round
	next := 0
	if _, err := fmt.Sscanf(call.Params.RequestState, "round-%d", &next); err == nil && call.Params.InputResponses[steps[next].key] != nil {
		next++
	}
	if next == len(steps) {
		return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete",%s}}`, m.ID.Token, answered)
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","requestState":"round-%d","inputRequests":{%q:{"method":%q,"params":%s}}}}`,
		m.ID.Token, next, steps[next].key, steps[next].method, steps[next].params)
}

const answered = `"content":[{"type":"text","text":"answered"}]`

// talk is how a legacy server answers a call: it asks, one question after the other, and then says the result.
func (a *asker) talk(m *mcp.Labelled, steps []step, say func([]byte), gone <-chan struct{}) {
	for _, s := range steps {
		a.mu.Lock()
		a.asked++
		id, done := fmt.Sprintf(`"asker-%d"`, a.asked), make(chan struct{})
		if a.waiting == nil {
			a.waiting = map[string]chan struct{}{}
		}
		a.waiting[id] = done
		a.mu.Unlock()
		say(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, s.method, s.params))
		select {
		case <-done:
		case <-gone:
			return
		}
	}
	say(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":{%s}}`, m.ID.Token, answered))
}

// take takes a client's answer to one of the questions, and tells whether it is one.
func (a *asker) take(m *mcp.Labelled) bool {
	if m.Kind != mcp.Response || !strings.HasPrefix(string(m.ID.Token), `"asker-`) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if done := a.waiting[string(m.ID.Token)]; done != nil {
		delete(a.waiting, string(m.ID.Token))
		close(done)
	}
	return true
}

// serve answers what is for these tools, over HTTP, and tells whether it did.
func (o oneEra) serve(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) bool {
	steps := o.steps(m)
	switch {
	case o.asker.take(m):
		w.WriteHeader(http.StatusAccepted)
	case steps == nil:
		return false
	case o.era == mcp.Modern:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(round(m, steps))
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		o.asker.talk(m, steps, func(line []byte) {
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", line)
			_ = http.NewResponseController(w).Flush()
		}, r.Context().Done())
	}
	return true
}
