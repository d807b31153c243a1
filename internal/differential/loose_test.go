package differential

import (
	"encoding/json"
	"strings"
)

// loose reads a message with encoding/json, which ignores the case of names and takes the last of two. Where the
// protocol's name is absent it takes the one in snake case, as the Python SDK does (pydantic's populate_by_name).
func loose(message []byte) (reading, bool) {
	var m struct {
		JSONRPC, ID, Method, Params json.RawMessage
	}
	if json.Unmarshal(message, &m) != nil {
		return nil, false
	}
	r := reading{}
	r.put("version", m.JSONRPC)
	r.put("id", m.ID)
	r.put("method", m.Method)
	switch {
	case m.Method == nil:
		r["kind"] = "response"
	case m.ID == nil:
		r["kind"] = "notification"
	default:
		r["kind"] = "request"
	}
	r.params(m.Params)
	return r, true
}

// put notes a value that is there: the first of the texts that is not nil.
func (r reading) put(name string, texts ...json.RawMessage) {
	for _, text := range texts {
		if text != nil {
			r[name] = value(text)
			return
		}
	}
}

// params reads what is in an object, and nothing in anything else.
func (r reading) params(text json.RawMessage) {
	var p struct {
		Name, URI, TaskID, Arguments, Ref, ClientInfo, Notifications json.RawMessage

		Meta      json.RawMessage `json:"_meta"`
		SnakeTask json.RawMessage `json:"task_id"`
		SnakeInfo json.RawMessage `json:"client_info"`
		SnakeMeta json.RawMessage `json:"meta"`
	}
	read(text, &p)
	r.put("name", p.Name)
	r.put("uri", p.URI)
	r.put("taskId", p.TaskID, p.SnakeTask)
	r.put("arguments", p.Arguments)
	var ref struct{ Type, Name, URI json.RawMessage }
	read(p.Ref, &ref)
	r.put("refType", ref.Type)
	r.put("refName", ref.Name)
	r.put("refURI", ref.URI)
	var listen struct {
		ResourceSubscriptions json.RawMessage
		Snake                 json.RawMessage `json:"resource_subscriptions"`
	}
	read(p.Notifications, &listen)
	if r.put("subscriptions", listen.ResourceSubscriptions, listen.Snake); empty(r["subscriptions"]) {
		delete(r, "subscriptions")
	}
	var meta struct {
		Version json.RawMessage `json:"io.modelcontextprotocol/protocolVersion"`
		Client  json.RawMessage `json:"io.modelcontextprotocol/clientInfo"`
	}
	read(first(p.Meta, p.SnakeMeta), &meta)
	r.put("metaVersion", meta.Version)
	var own, hello struct{ Name, Version json.RawMessage }
	read(meta.Client, &own)
	read(first(p.ClientInfo, p.SnakeInfo), &hello)
	r.put("clientName", own.Name, hello.Name)
	r.put("clientVersion", own.Version, hello.Version)
}

func read(text json.RawMessage, into any) {
	if text != nil {
		_ = json.Unmarshal(text, into) // what has another shape holds nothing
	}
}

func first(texts ...json.RawMessage) json.RawMessage {
	for _, text := range texts {
		if text != nil {
			return text
		}
	}
	return nil
}

// same tells whether some reader takes one name for the other.
func same(name, known string) bool {
	return strings.EqualFold(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(known, "_", ""))
}
