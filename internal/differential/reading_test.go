package differential

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"

	"mcpgateway/internal/mcp"
)

// reading is what somebody read of one message: values as encoding/json gives them, by names of our own. What is absent
// is not in it.
type reading map[string]any

// ours is what is decided on.
func ours(m *mcp.Message) reading {
	p := &m.Params
	r := reading{"kind": [...]string{"request", "notification", "response"}[m.Kind], "version": "2.0"}
	if m.Kind != mcp.Response {
		r["method"] = m.Method
	}
	for name, token := range map[string]mcp.Token{
		"id": m.ID, "target": m.Target().Name, "name": p.Name, "uri": p.URI, "taskId": p.TaskID, "arguments": p.Arguments,
		"refType": p.RefType, "refName": p.RefName, "refURI": p.RefURI, "metaVersion": p.MetaVersion,
		"clientName": p.ClientName, "clientVersion": p.ClientVersion,
	} {
		if token != nil {
			r[name] = value(token)
		}
	}
	var uris []any
	for _, t := range p.Subscriptions {
		uris = append(uris, value(t))
	}
	if uris != nil {
		r["subscriptions"] = uris
	}
	return r
}

// value reads a token as everyone does where nothing is decided on it: numbers as floating point, an unpaired surrogate
// as the replacement character.
func value(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic("a token is no JSON: " + err.Error())
	}
	return floats(v)
}

// floats turns numbers into float64, and those beyond it into what reader.js writes for them.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := strconv.ParseFloat(string(v), 64) // ±Inf out of range
		if math.IsInf(f, 0) {
			return map[string]any{"number": strconv.FormatFloat(f, 'g', -1, 64)}
		}
		return f
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = floats(v[name])
		}
	}
	return v
}

// differ names a value that two readings have differently; "" where there is none. Only names of theirs count where
// that reader does not tell all.
func differ(ours, theirs reading, all bool) string {
	for name, v := range theirs {
		if mine, ok := ours[name]; all && !ok || !reflect.DeepEqual(mine, v) && (all || !empty(mine) || !empty(v)) {
			return name
		}
	}
	for name := range ours {
		if _, ok := theirs[name]; all && !ok {
			return name
		}
	}
	return ""
}

// empty tells what a Go struct does not tell from absent.
func empty(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String, reflect.Map, reflect.Slice:
		return r.Len() == 0
	}
	return false
}
