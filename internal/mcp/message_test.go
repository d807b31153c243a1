package mcp

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReadsWhatIsDecidedOn(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":"x","method":"tools\/call","params":{"name":"gr\u0065et","arguments":{"a":[1,2,{"b":null}]},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"progressToken":7},` +
		`"unknown":1e400},"extra":true}`
	got, err := Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Messages) != 1 || got.Batch {
		t.Fatalf("got %d messages, batch %v", len(got.Messages), got.Batch)
	}
	m := got.Messages[0]
	name, _ := m.Target().Name.Text()
	version, _ := m.Params.MetaVersion.Text()
	client, _ := m.Params.ClientName.Text()
	want := []string{"tools/call", "greet", "2026-07-28", "c", `"x"`, body, `{"a":[1,2,{"b":null}]}`}
	have := []string{m.Method, name, version, client, string(m.ID), string(m.Raw), string(m.Params.Arguments)}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
}

// Whose name is recorded does not depend on the order of members.
func TestParseClient(t *testing.T) {
	const own, hello = `"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"own"}}`, `"clientInfo":{"name":"hello","version":"1"}`
	for params, want := range map[string]string{own + "," + hello: "own 1", hello + "," + own: "own 1", hello: "hello 1", own: "own ", `"x":1`: " "} {
		b, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` + params + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		name, _ := b.Messages[0].Params.ClientName.Text()
		version, _ := b.Messages[0].Params.ClientVersion.Text()
		if name+" "+version != want {
			t.Errorf("%s: got %q", params, name+" "+version)
		}
	}
}

func TestParseKinds(t *testing.T) {
	for _, c := range []struct {
		name, body string
		kinds      []Kind
		batch      bool
	}{
		{"request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, []Kind{Request}, false},
		{"negative id", `{"jsonrpc":"2.0","id":-1.5e3,"method":"ping"}`, []Kind{Request}, false},
		{"white space", " \r\n\t{ \"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"ping\" } \n", []Kind{Request}, false},
		{"null params", `{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, []Kind{Request}, false},
		{"cancel", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"_meta":{"io.modelcontextprotocol/clientInfo":{}}}}`, []Kind{Notification}, false},
		{"retry", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","requestState":"x","inputResponses":{}}}`, []Kind{Request}, false},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, []Kind{Notification}, false},
		{"result", `{"jsonrpc":"2.0","id":1,"result":{}}`, []Kind{Response}, false},
		{"error without id", `{"jsonrpc":"2.0","id":null,"error":{}}`, []Kind{Response}, false},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]`, []Kind{Request, Notification}, true},
		{"batch of one", `[{"jsonrpc":"2.0","id":1,"method":"a"}]`, []Kind{Request}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []Kind
			for _, m := range got.Messages {
				kinds = append(kinds, m.Kind)
			}
			if d := cmp.Diff(c.kinds, kinds); d != "" || got.Batch != c.batch {
				t.Errorf("batch %v, kinds %s", got.Batch, d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	for _, c := range []struct {
		name, body string
		code       int
		says       string
	}{
		{"nothing", "", CodeParse, "unexpected end"},
		{"byte order mark", "\xef\xbb\xbf" + call(`{}`), CodeParse, "byte order mark"},
		{"invalid UTF-8", call("{\"name\":\"\xff\"}"), CodeParse, "UTF-8"},
		{"overlong UTF-8", call("{\"name\":\"\xc0\xaf\"}"), CodeParse, "UTF-8"},
		{"trailing bytes", call(`{}`) + "x", CodeParse, "after the JSON value"},
		{"two values", call(`{}`) + call(`{}`), CodeParse, "after the JSON value"},
		{"trailing NUL", call(`{}`) + "\x00", CodeParse, "after the JSON value"},
		{"duplicate method", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, CodeParse, "duplicate"},
		{"duplicate by escape", `{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}`, CodeParse, "duplicate"},
		{"duplicate name", call(`{"name":"a","name":"b"}`), CodeParse, "duplicate"},
		{"duplicate argument", call(`{"name":"a","arguments":{"x":1,"y":{"z":1,"z":2}}}`), CodeParse, "duplicate"},
		{"duplicate among many", call(`{"name":"a","arguments":{` + members(40) + `,"m3":1}}`), CodeParse, "duplicate"},
		{"case twin of method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, CodeInvalidRequest, `must be written "method"`},
		{"case variant alone", `{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}`, CodeInvalidRequest, `must be written "method"`},
		{"case twin of name", call(`{"name":"a","Name":"b"}`), CodeInvalidRequest, `must be written "name"`},
		{"Kelvin sign", `{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}`, CodeInvalidRequest, `must be written "params"`},
		{"case twin in _meta", call(`{"name":"a","_meta":{"io.modelcontextprotocol/protocolversion":"x"}}`), CodeInvalidRequest, "must be written"},
		{"snake case", call(`{"task_id":"a"}`), CodeInvalidRequest, `must be written "taskId"`},
		{"snake case in notifications", call(`{"notifications":{"resource_subscriptions":["a"]}}`), CodeInvalidRequest, "must be written"},
		{"meta without underscore", call(`{"name":"a","meta":{}}`), CodeInvalidRequest, `must be written "_meta"`},
		{"prototype of a message", `{"jsonrpc":"2.0","id":1,"method":"ping","__proto__":{"params":{}}}`, CodeInvalidRequest, "__proto__"},
		{"prototype of params", call(`{"__proto__":{"name":"a"}}`), CodeInvalidRequest, "__proto__"},
		{"prototype of ref", call(`{"ref":{"type":"ref/prompt","__proto__":{"name":"a"}}}`), CodeInvalidRequest, "__proto__"},
		{"subscriptions as text", call(`{"notifications":{"resourceSubscriptions":"a"}}`), CodeInvalidRequest, "array"},
		{"too deep", call(strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)), CodeParse, "nested deeper"},
		{"too deep array", strings.Repeat("[", 100_000), CodeParse, "nested deeper"},
		{"single quotes", `{'jsonrpc':'2.0'}`, CodeParse, "unexpected"},
		{"comment", `{/**/"jsonrpc":"2.0"}`, CodeParse, "unexpected"},
		{"trailing comma", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, CodeParse, "unexpected"},
		{"leading zero", `{"jsonrpc":"2.0","id":01,"method":"ping"}`, CodeParse, "unexpected"},
		{"bare point", `{"jsonrpc":"2.0","id":1.,"method":"ping"}`, CodeParse, "unexpected"},
		{"NaN", `{"jsonrpc":"2.0","id":NaN,"method":"ping"}`, CodeParse, "unexpected"},
		{"control character", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\nng\"}", CodeParse, "control character"},
		{"bad escape", `{"jsonrpc":"2.0","id":1,"method":"\x70ing"}`, CodeParse, "escape"},
		{"cut escape", `{"jsonrpc":"2.0","id":1,"method":"\u00`, CodeParse, "escape"},
		{"surrogate in a name", `{"jsonrpc":"2.0","id":1,"method":"ping","\ud800":1}`, CodeParse, "surrogate"},
		{"surrogate in method", `{"jsonrpc":"2.0","id":1,"method":"\ud800"}`, CodeInvalidRequest, `"method"`},
		{"no version", `{"id":1,"method":"ping"}`, CodeInvalidRequest, "jsonrpc"},
		{"version 1", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, CodeInvalidRequest, "jsonrpc"},
		{"id object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, CodeInvalidRequest, `"id"`},
		{"id null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, CodeInvalidRequest, `"id"`},
		{"method number", `{"jsonrpc":"2.0","id":1,"method":7}`, CodeInvalidRequest, `"method"`},
		{"params array", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, CodeInvalidRequest, `"params"`},
		{"request and response", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, CodeInvalidRequest, "both"},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, CodeInvalidRequest, "neither"},
		{"empty object", `{}`, CodeInvalidRequest, "jsonrpc"},
		{"empty batch", `[]`, CodeInvalidRequest, "empty batch"},
		{"number", `7`, CodeInvalidRequest, "object"},
		{"batch of numbers", `[7]`, CodeInvalidRequest, "object"},
		{"long batch", `[` + strings.Repeat(`{"jsonrpc":"2.0","method":"a"},`, 100) + `{"jsonrpc":"2.0","method":"a"}]`, CodeInvalidRequest, "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.body))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Code != c.code || e.Status != 400 || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %d %d %q, want code %d saying %q", e.Status, e.Code, e.Message, c.code, c.says)
			}
			if !json.Valid(e.Body("id")) {
				t.Errorf("the error's body is no JSON: %s", e.Body("id"))
			}
		})
	}
}

func members(n int) string {
	var out []string
	for i := range n {
		out = append(out, `"m`+string(rune('0'+i%10))+strings.Repeat("x", i/10)+`":1`)
	}
	return strings.Join(out, ",")
}

// An unpaired surrogate where nothing is decided on it is a client's clipped emoji, and travels on.
func TestParsePassesClippedEmoji(t *testing.T) {
	if _, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"t":"\ud83d"}}}`)); err != nil {
		t.Error(err)
	}
}

func TestTokenText(t *testing.T) {
	for in, want := range map[string]string{
		`""`: "", `"a"`: "a", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00e9"`: "é", `"\ud83d\ude00"`: "😀", `"a\ud83d\ude00b"`: "a😀b",
	} {
		if got, ok := Token(in).Text(); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{`1`, `null`, `{}`, ``, `"\ud83d"`, `"\ude00"`, `"\ud83d\ud83d"`, `"\ud83dx"`} {
		if got, ok := Token(in).Text(); ok {
			t.Errorf("%s: got %q, want no text", in, got)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, c := range []struct {
		method, params, want string
		more                 int
	}{
		{"tools/call", `{"name":"a","uri":"b"}`, `"a"`, 0},
		{"prompts/get", `{"name":"a"}`, `"a"`, 0},
		{"resources/read", `{"name":"a","uri":"b"}`, `"b"`, 0},
		{"resources/subscribe", `{"uri":"b"}`, `"b"`, 0},
		{"completion/complete", `{"ref":{"type":"ref/prompt","name":"p","uri":"u"}}`, `"p"`, 0},
		{"completion/complete", `{"ref":{"type":"ref/resource","name":"p","uri":"u"}}`, `"u"`, 0},
		{"completion/complete", `{"ref":{"type":"ref/else","name":"p","uri":"u"}}`, ``, 0},
		{"subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}}`, ``, 2},
		{"tasks/get", `{"taskId":"t"}`, `"t"`, 0},
		{"tools/list", `{"name":"a"}`, ``, 0},
	} {
		b, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"` + c.method + `","params":` + c.params + `}`))
		if err != nil {
			t.Fatal(err)
		}
		target := b.Messages[0].Target()
		if string(target.Name) != c.want || len(target.More) != c.more {
			t.Errorf("%s %s: got %s and %d more", c.method, c.params, target.Name, len(target.More))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + strings.Repeat("x", 1000) + `"}}}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

// What Parse lets through is JSON for everyone, and what encoding/json refuses it refuses. The other way round it
// refuses more, on purpose.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,2.5e-3,true,null,"\u00e9"]}}}`))
	f.Add([]byte(`[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":"1","result":{}}]`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt"}}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a",1]}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := Parse(in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("let through what is no JSON: %q", in)
		}
		for _, m := range b.Messages {
			// Case-insensitive, as Go servers read it.
			var other struct {
				Method string
				Params struct {
					Name any
					URI  any
				}
			}
			if err := json.Unmarshal(m.Raw, &other); err != nil {
				t.Fatalf("%s: %v", m.Raw, err)
			}
			if other.Method != m.Method {
				t.Fatalf("%s: decided on method %q, a server reads %q", m.Raw, m.Method, other.Method)
			}
			if name, ok := m.Params.Name.Text(); ok && other.Params.Name != any(name) {
				t.Fatalf("%s: decided on name %q, a server reads %q", m.Raw, name, other.Params.Name)
			}
			if uri, ok := m.Params.URI.Text(); ok && other.Params.URI != any(uri) {
				t.Fatalf("%s: decided on uri %q, a server reads %q", m.Raw, uri, other.Params.URI)
			}
			if m.Params.Name == nil && other.Params.Name != nil {
				t.Fatalf("%s: decided on no name, a server reads %q", m.Raw, other.Params.Name)
			}
		}
	})
}
