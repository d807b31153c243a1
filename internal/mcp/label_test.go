package mcp

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// labels are what a test reads of a message, as text; "" where it is absent.
type labels struct {
	Method, ID, Request, Progress, Subscription, URI, LogLevel, Version, Capabilities string

	Kind   Kind
	Failed int
}

func labelsOf(m Labelled) labels {
	return labels{Kind: m.Kind, Method: m.Method, Failed: m.Failed, ID: string(m.ID.Token), Request: string(m.Request.Token),
		Progress: string(m.Progress.Token), Subscription: string(m.Subscription.Token), URI: string(m.URI), LogLevel: string(m.LogLevel),
		Version: string(m.Version), Capabilities: string(m.Capabilities)}
}

func TestParseLabelled(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     labels
	}{
		{"request", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, labels{Method: "ping", ID: "1"}},
		{"notification", `{"method":"a/b"}`, labels{Kind: Notification, Method: "a/b"}},
		{"result", `{"id":"x","result":null}`, labels{Kind: Response, ID: `"x"`}},
		{"error", `{"id":1,"error":{"message":"m","code":-32601,"data":{"code":7}}}`, labels{Kind: Response, ID: "1", Failed: -32601}},
		{"error of a code that is none", `{"id":1,"error":{"code":"-32601"}}`, labels{Kind: Response, ID: "1"}},
		{"error that is no object", `{"id":1,"error":-32601}`, labels{Kind: Response, ID: "1"}},
		{"error about nothing", `{"id":null,"error":{"code":-32700}}`, labels{Kind: Response, ID: "null", Failed: -32700}},
		{"every label of a request", `{"id":-1.5e3,"method":"m","params":{"requestId":2,"uri":"u","_meta":{"progressToken":"p",` +
			`"io.modelcontextprotocol/subscriptionId":3,"io.modelcontextprotocol/logLevel":"info",` +
			`"io.modelcontextprotocol/protocolVersion":"v","io.modelcontextprotocol/clientCapabilities":{}}}}`,
			labels{Method: "m", ID: "-1.5e3", Request: "2", Progress: `"p"`, Subscription: "3", URI: `"u"`, LogLevel: `"info"`, Version: `"v"`, Capabilities: "{}"}},
		{"a token in params is none of a request", `{"id":1,"method":"m","params":{"progressToken":5}}`, labels{Method: "m", ID: "1"}},
		{"a token in _meta is none of a notification", `{"method":"m","params":{"_meta":{"progressToken":5}}}`, labels{Kind: Notification, Method: "m"}},
		{"a token in params of a notification", `{"params":{"_meta":{"progressToken":5},"progressToken":6},"method":"m"}`,
			labels{Kind: Notification, Method: "m", Progress: "6"}},
		{"a token in _meta of a request", `{"params":{"_meta":{"progressToken":5},"progressToken":6},"method":"m","id":1}`,
			labels{Method: "m", ID: "1", Progress: "5"}},
		{"a result has no token", `{"id":1,"result":{"_meta":{"progressToken":5}}}`, labels{Kind: Response, ID: "1"}},
		{"params beside a result have none", `{"id":1,"result":{},"params":{"progressToken":5}}`, labels{Kind: Response, ID: "1"}},
		{"a subscription in a result", `{"id":1,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}`, labels{Kind: Response, ID: "1", Subscription: `"s"`}},
		{"a result's uri is none", `{"id":1,"result":{"uri":"u","requestId":2}}`, labels{Kind: Response, ID: "1"}},
		{"decoys in arguments", `{"id":1,"method":"m","params":{"arguments":{"_meta":{"progressToken":1,"io.modelcontextprotocol/subscriptionId":2},` +
			`"params":{"_meta":{"progressToken":3}},"requestId":4,"uri":"u","id":9,"method":"x"}}}`, labels{Method: "m", ID: "1"}},
		{"decoys in _meta", `{"id":1,"method":"m","params":{"_meta":{"_meta":{"progressToken":1},"requestId":2,"uri":"u","x":{"progressToken":3}}}}`,
			labels{Method: "m", ID: "1"}},
		{"decoys beside", `{"_meta":{"progressToken":1},"requestId":2,"id":1,"method":"m","meta":{"id":3}}`, labels{Method: "m", ID: "1"}},
		{"decoys in arrays", `{"id":1,"method":"m","params":[{"_meta":{"progressToken":1},"requestId":2}]}`, labels{Method: "m", ID: "1"}},
		{"_meta that is no object", `{"id":1,"method":"m","params":{"_meta":["progressToken"]}}`, labels{Method: "m", ID: "1"}},
		{"names differ by case", `{"id":1,"method":"m","params":{"_META":{"progressToken":1},"RequestId":2}}`, labels{Method: "m", ID: "1"}},
		{"escaped names", `{"\u0069d":1,"m\u0065thod":"\u006d","params":{"_m\u0065ta":{"progress\u0054oken":"\u0070"}}}`, labels{Method: "m", ID: "1", Progress: `"\u0070"`}},
		{"white space", " {\r\n\"id\" :\t\"a b\" , \"method\": \"m\"\n} ", labels{Method: "m", ID: `"a b"`}},
		{"huge numbers", `{"id":123456789012345678901234567890,"method":"m","params":{"_meta":{"progressToken":1e400}}}`,
			labels{Method: "m", ID: "123456789012345678901234567890", Progress: "1e400"}},
	} {
		m, err := ParseLabelled([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, labelsOf(m)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestParseLabelledRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                  ``,
		"an array":                 `[{"id":1,"method":"m"}]`,
		"text":                     `"m"`,
		"neither":                  `{"id":1}`,
		"both":                     `{"id":1,"method":"m","result":{}}`,
		"result and error":         `{"id":1,"result":{},"error":{}}`,
		"a response without id":    `{"result":{}}`,
		"an id that is an object":  `{"id":{},"method":"m"}`,
		"an id that is null":       `{"id":null,"method":"m"}`,
		"an id that is true":       `{"id":true,"method":"m"}`,
		"a method that is no text": `{"id":1,"method":5}`,
		"two ids":                  `{"id":1,"method":"m","id":2}`,
		"two ids, one escaped":     `{"id":1,"method":"m","\u0069d":2}`,
		"two tokens":               `{"id":1,"method":"m","params":{"_meta":{"progressToken":1,"progressToken":2}}}`,
		"two of _meta":             `{"id":1,"method":"m","params":{"_meta":{},"_meta":{"progressToken":2}}}`,
		"two in arguments":         `{"id":1,"method":"m","params":{"arguments":{"a":1,"a":2}}}`,
		"two in an error":          `{"id":1,"error":{"code":1,"code":2}}`,
		"bytes after it":           `{"id":1,"method":"m"}x`,
		"a second one":             `{"id":1,"method":"m"}{"id":2,"method":"m"}`,
		"a byte order mark":        "\xef\xbb\xbf" + `{"id":1,"method":"m"}`,
		"invalid UTF-8":            "{\"id\":\"\xff\",\"method\":\"m\"}",
		"a raw line end in text":   "{\"id\":\"a\nb\",\"method\":\"m\"}",
		"a lone surrogate as name": `{"id":1,"method":"m","\ud800":1}`,
		"half of one":              `{"id":1,"method":"m"`,
		"too deep":                 `{"id":1,"method":"m","params":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
	} {
		if m, err := ParseLabelled([]byte(in)); err == nil {
			t.Errorf("%s: read as %+v", name, labelsOf(m))
		}
	}
}

func TestRelabel(t *testing.T) {
	const sub = `"io.modelcontextprotocol/subscriptionId"`
	for _, c := range []struct{ name, in, want string }{
		{"nothing to change", `{"method":"m"}`, `{"method":"m"}`},
		{"an id of the same digits elsewhere", `{"x":7,"id":7,"method":"m","y":7}`, `{"x":7,"id":"ID","method":"m","y":7}`},
		{"several, in any order", `{"params":{"_meta":{` + sub + `:1,"progressToken":22},"requestId":333},"method":"m","id":4444}`,
			`{"params":{"_meta":{` + sub + `:"SUB","progressToken":"PROGRESS"},"requestId":"REQUEST"},"method":"m","id":"ID"}`},
		{"a longer one by a shorter", `{"id":"a very long id","method":"m"}`, `{"id":"ID","method":"m"}`},
		{"spaces about it", `{"id" : 1 ,"method":"m"}`, `{"id" : "ID" ,"method":"m"}`},
		{"a notification's token", `{"method":"m","params":{"progressToken":1,"_meta":{"progressToken":1}}}`,
			`{"method":"m","params":{"progressToken":"PROGRESS","_meta":{"progressToken":1}}}`},
		{"line ends between tokens", " \n{\r\n\"id\":1,\n\"method\":\"a\\nb\"\r}\n", `{  "id":"ID", "method":"a\nb" }`},
		{"an object as token", `{"id":1,"method":"m","params":{"_meta":{"progressToken":{"a":[1]}}}}`, `{"id":"ID","method":"m","params":{"_meta":{"progressToken":"PROGRESS"}}}`},
	} {
		m, err := ParseLabelled([]byte(c.in))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		before := bytes.Clone(m.raw)
		got := m.Relabel(Change{m.ID, Token(`"ID"`)}, Change{m.Subscription, Token(`"SUB"`)}, Change{m.Progress, Token(`"PROGRESS"`)}, Change{m.Request, Token(`"REQUEST"`)})
		if string(got) != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
		if !bytes.Equal(before, m.raw) {
			t.Errorf("%s: the message that came was changed into %s", c.name, m.raw)
		}
		// Whoever writes it to a pipe appends a line end.
		if _ = append(m.Relabel(), '\n'); !bytes.Equal(before, m.raw) {
			t.Errorf("%s: what is returned is a part of what came", c.name)
		}
	}
}

func TestParseBatchParts(t *testing.T) {
	hundred := strings.Repeat(`{},`, maxBatch-1) + `{}`
	for _, c := range []struct {
		name, in string
		want     []string // nil where it is refused
	}{
		{"one", ` {"a":1} `, []string{`{"a":1}`}},
		{"one that is no object", `5`, []string{`5`}},
		{"several", "[ {\"a\":1} ,\r\n{\"a\":[2]},3,[4] ]\n", []string{`{"a":1}`, `{"a":[2]}`, `3`, `[4]`}},
		{"none", `[]`, []string{}},
		{"the most", "[" + hundred + "]", strings.Split(hundred, ",")},
		{"one too many", "[" + hundred + ",{}]", nil},
		{"nothing", ``, nil},
		{"open", `[{}`, nil},
		{"a comma too many", `[{},]`, nil},
		{"bytes after one", `{}{}`, nil},
		{"bytes after several", `[{}]]`, nil},
		{"a duplicate name", `[{"a":1,"a":2}]`, nil},
		{"a byte order mark", "\xef\xbb\xbf[]", nil},
		{"invalid UTF-8", "[\"\xff\"]", nil},
	} {
		got, _, err := ParseBatch([]byte(c.in))
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: %d parts, %v", c.name, len(got), err)
			continue
		}
		parts := []string{}
		for _, m := range got {
			parts = append(parts, string(m.raw))
		}
		if err == nil && !cmp.Equal(c.want, parts) {
			t.Errorf("%s: %q, want %q", c.name, parts, c.want)
		}
	}
}

// What is no message spoils neither what stands beside it nor what it stands in, and labels are found where they are.
func TestParseBatchMessages(t *testing.T) {
	const in = ` [{"id":1,"method":"a"}, {"id":2}, 7, [8], {"params":{"requestId":"x"},"method":"b"}, {"id":"3","result":{}}]`
	parts, batch, err := ParseBatch([]byte(in))
	if err != nil || !batch {
		t.Fatal(batch, err)
	}
	var got []string
	for _, p := range parts {
		if p.Err != nil {
			got = append(got, "refused "+string(p.Relabel()))
			continue
		}
		got = append(got, string(p.Relabel(Change{p.ID, Token("ID")}, Change{p.Request, Token("REQUEST")})))
	}
	want := []string{`{"id":ID,"method":"a"}`, `refused {"id":2}`, `refused 7`, `refused [8]`, `{"params":{"requestId":REQUEST},"method":"b"}`,
		`{"id":ID,"result":{}}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What is no JSON is found behind what is no message.
	if _, _, err := ParseBatch([]byte(`[{"id":2},{"id":3,"method":"m"},{]`)); err == nil {
		t.Error("what is no JSON was read")
	}
}

func TestInteger(t *testing.T) {
	for in, want := range map[string]int{
		"0": 0, "7": 7, "-32601": -32601, "2147483647": 2147483647, "": 0, "-": 0, `"7"`: 0, "1.0": 0, "1e3": 0, "null": 0, "--1": 0, "1-": 0, "{}": 0,
		"99999999999999999999999999": 0, "-99999999999999999999999999": 0,
	} {
		if got := integer(Token(in)); got != want {
			t.Errorf("integer(%s) = %d, want %d", in, got, want)
		}
	}
}

// tree reads JSON as encoding/json does, without loss of digits.
func tree(t *testing.T, in []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	return v
}

// put sets a value in the tree where there is one already.
func put(v any, value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	last := path[len(path)-1]
	if object, ok := v.(map[string]any); ok {
		if _, ok := object[last]; ok {
			object[last] = value
		}
	}
}

// relabelTree does with encoding/json's tree what Relabel should do with the bytes.
func relabelTree(v map[string]any, kind Kind) {
	paths := map[string][]string{"R": {"params", "requestId"}, "I": {"id"}}
	switch kind {
	case Request:
		paths["P"] = []string{"params", "_meta", "progressToken"}
	case Notification:
		paths["P"] = []string{"params", "progressToken"}
	}
	for value, path := range paths {
		put(v, value, path...)
	}
	for _, in := range []string{"params", "result"} {
		put(v, "S", in, "_meta", metaSubscription)
	}
}

// Relabelling with what was there changes nothing, and with something else exactly the labels; what comes out is one
// line; and where Parse reads the same message, both read the same of it.
func FuzzParseLabelled(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":"t"},"arguments":{"_meta":{"progressToken":2}}}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a","reason":"\r\n"}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":5,"progress":1e400}}`,
		`{"jsonrpc":"2.0","id":"x","result":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}`,
		"{\r\n\"id\":1,\n\"m\\u0065thod\":\"\\u00e9\",\"params\":{\"uri\":\"u\"}}\n",
	} {
		f.Add([]byte(s), uint16(0), byte(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, where uint16, space byte) {
		// White space between tokens, which bytes changed at random seldom give.
		in = slices.Insert(bytes.Clone(in), int(where)%(len(in)+1), " \t\r\n"[space%4])
		before := bytes.Clone(in)
		m, err := ParseLabelled(in)
		if err != nil {
			return
		}
		if b, err := Parse(in); err == nil {
			if p := b.Messages[0]; b.Batch || p.Kind != m.Kind || p.Method != m.Method || !bytes.Equal(p.ID, m.ID.Token) {
				t.Fatalf("%q: Parse reads %d %q %s, ParseLabelled %d %q %s", in, p.Kind, p.Method, p.ID, m.Kind, m.Method, m.ID.Token)
			}
		}
		same := m.Relabel(Change{m.ID, m.ID.Token}, Change{m.Request, m.Request.Token}, Change{m.Progress, m.Progress.Token}, Change{m.Subscription, m.Subscription.Token})
		other := m.Relabel(Change{m.Progress, Token(`"P"`)}, Change{m.ID, Token(`"I"`)}, Change{m.Subscription, Token(`"S"`)}, Change{m.Request, Token(`"R"`)})
		if !bytes.Equal(in, before) {
			t.Fatalf("%q was changed", before)
		}
		for _, line := range [][]byte{same, other} {
			if bytes.ContainsAny(line, "\r\n") {
				t.Fatalf("%q becomes more than one line: %q", in, line)
			}
		}
		want := tree(t, in)
		if got := tree(t, same); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q with the labels that it has becomes %q", in, same)
		}
		if m.Kind == Response && want["params"] != nil {
			return // no message: which of two subscriptions is meant nobody can say
		}
		relabelTree(want, m.Kind)
		if got := tree(t, other); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q becomes %q", in, other)
		}
	})
}

// What is split is JSON, its parts are the array's elements as encoding/json reads them, and each is read as it is alone.
func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"m"}`))
	f.Add([]byte(` [{"id":1,"method":"m"}, [1,{"a":[]}],"]",null ] `))
	f.Add([]byte("[\r\n{}\n,{}]"))
	f.Add([]byte("[1" + strings.Repeat(",1", maxBatch-1) + "]")) // one more is too many
	f.Add([]byte(`[{"method":"m","params":{"progressToken":1}}, {"id":"x","method":"m","params":{"_meta":{"progressToken":2}}},{"id":1,"error":{"code":-1}}]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, batch, err := ParseBatch(in)
		if err != nil {
			return
		}
		if len(got) > maxBatch {
			t.Fatalf("%d messages", len(got))
		}
		var want []json.RawMessage
		if first := bytes.TrimLeft(in, " \t\r\n"); first[0] != '[' {
			want = []json.RawMessage{bytes.Trim(in, " \t\r\n")}
		} else if err := json.Unmarshal(in, &want); err != nil || !batch {
			t.Fatalf("%q: batch %v, %v", in, batch, err)
		}
		if !json.Valid(in) || len(got) != len(want) {
			t.Fatalf("%q: %d parts, want %q", in, len(got), want)
		}
		for i, part := range got {
			if !bytes.Equal(part.raw, want[i]) {
				t.Fatalf("%q: part %d is %q, want %q", in, i, part.raw, want[i])
			}
			alone, err := ParseLabelled(want[i])
			if (err == nil) != (part.Err == nil) {
				t.Fatalf("%q: %v, alone %v", want[i], part.Err, err)
			}
			if err == nil && !reflect.DeepEqual(alone, part.Labelled) {
				t.Fatalf("%q: read as %+v, alone as %+v", want[i], labelsOf(part.Labelled), labelsOf(alone))
			}
		}
	})
}
