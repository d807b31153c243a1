package era

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// requestSeeds are requests of clients, hostile ones among them.
var requestSeeds = []string{
	modernBody("1", "tools/call", `"name":"x","arguments":{"a":[1.50,{"b":"\u00e4"}]},"requestState":"s","inputResponses":{"k":{}},"task":{}`, `"progressToken":"p","io.modelcontextprotocol/logLevel":"info","y":1`),
	`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"ä\n","arguments":null}}`,
	`{"jsonrpc":"2.0","id":-1,"method":"resources/read","params":{"uri":"=?base64?x?=","_meta":7}}`,
	`{"id":1,"params":{"_meta":{"progressToken":[]}},"method":"prompts/get","jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":null}`,
}

// one reads a body that is one request.
func one(body []byte) *mcp.Message {
	b, err := mcp.Parse(body)
	if err != nil || b.Batch || b.Messages[0].Kind != mcp.Request {
		return nil
	}
	return &b.Messages[0]
}

// same tells whether two requests want the same, as policies see it.
func same(a, b *mcp.Message) bool {
	return a.Method == b.Method && bytes.Equal(a.Params.Name, b.Params.Name) && bytes.Equal(a.Params.URI, b.Params.URI) &&
		bytes.Equal(a.Params.Arguments, b.Params.Arguments) && bytes.Equal(a.Target().Name, b.Target().Name)
}

func fuzzed(t testing.TB) (*Translator, *call.Exchange) {
	translator, err := New(Config{Server: "github", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return translator, &call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: http.Header{}}, Who: identity.Identity{Issuer: "i", Subject: "alice"}}
}

// FuzzToLegacy: what a legacy server is sent asks for what policies decided on, and has nothing of the other era.
func FuzzToLegacy(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	translator, x := fuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		m := one(body)
		if m == nil {
			return
		}
		c := &modernCall{t: translator, x: x, message: m, params: objectOf(path(m.Raw, "params")), number: number(9)}
		c.meta = objectOf(c.params.get("_meta"))
		out := one(c.translated())
		if out == nil || !same(m, out) || string(out.ID) != "9" {
			t.Fatalf("%s\nbecame\n%s", body, c.translated())
		}
		params := objectOf(path(out.Raw, "params"))
		if out.Params.MetaVersion != nil || params.get("requestState") != nil || params.get("inputResponses") != nil || out.Params.Task != nil {
			t.Errorf("%s\nkeeps what is of its era:\n%s", body, out.Raw)
		}
	})
}

// FuzzToModern: what a modern server is sent asks for what policies decided on, and its headers say what its body does.
func FuzzToModern(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	translator, x := fuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		m := one(body)
		if m == nil {
			return
		}
		if name := m.Target().Name; name != nil {
			if _, ok := name.Text(); !ok {
				return // refused before it comes here
			}
		}
		c := &legacyCall{t: translator, x: x, message: m, params: objectOf(path(m.Raw, "params"))}
		c.visit = newVisit("", client{info: mcp.Token(`{"name":"n","version":"1"}`), capabilities: mcp.Token("{}")})
		y := c.request(nil)
		out := one(y.Body)
		if out == nil || !same(m, out) {
			t.Fatalf("%s\nbecame\n%s", body, y.Body)
		}
		if err := mcp.CheckMatch(y.Request.Header, mcp.Body{Messages: []mcp.Message{*out}}); err != nil && plainMethod(m.Method) {
			t.Errorf("%s\nbecame\n%s\nwith %v: %v", body, y.Body, y.Request.Header, err)
		}
		if string(out.Params.MetaVersion) != `"`+mcp.ModernVersion+`"` || out.Params.Task != nil {
			t.Errorf("%s\nbecame\n%s", body, y.Body)
		}
	})
}

// plainMethod tells whether a header can say the method at all.
func plainMethod(method string) bool {
	for _, c := range []byte(method) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// FuzzAnswer: a legacy server's answer becomes one of a modern server, to the client's own id, that keeps what it said.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":9,"result":{"tools":[{"name":"x","inputSchema":{"properties":{"a":{"x-mcp-header":"A"}}}}],"resultType":"odd","_meta":{"k":1}}}`,
		`{"jsonrpc":"2.0","id":9,"result":{}}`, `{"jsonrpc":"2.0","id":9,"result":[]}`, `{"jsonrpc":"2.0","id":9,"result":{"_meta":7}}`,
		`{"jsonrpc":"2.0","id":9,"error":{"code":-32002,"message":"no","data":{"uri":"a:b"}}}`, `{"jsonrpc":"2.0","id":9,"error":{"code":1e3}}`,
	} {
		f.Add([]byte(s))
	}
	translator, x := fuzzed(f)
	asked := one([]byte(modernBody(`"mine"`, "tools/list", "", "")))
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := mcp.ParseLabelled(message)
		if err != nil || m.Kind != mcp.Response {
			return
		}
		c := &modernCall{t: translator, x: x, message: asked, session: session{result: objectOf(mcp.Token(`{"serverInfo":{"name":"s"}}`))}}
		code, answer := c.answered(&m)
		out, err := mcp.ParseLabelled(answer)
		if err != nil || out.Kind != mcp.Response || string(out.ID.Token) != `"mine"` || (code == 0) != (path(answer, "result") != nil) {
			t.Fatalf("%s\nbecame %d\n%s\n%v", message, code, answer, err)
		}
		before, after := objectOf(path(m.Raw(), "result")), objectOf(path(answer, "result"))
		for _, kept := range before {
			if kept.name != "_meta" && !bytes.Equal(after.get(kept.name), kept.value) {
				t.Errorf("%s\nlost %s in\n%s", message, kept.name, answer)
			}
		}
		if code == 0 && (after.get("resultType") == nil || after.get("ttlMs") == nil || after.get("cacheScope") == nil) {
			t.Errorf("%s\nbecame\n%s", message, answer)
		}
	})
}

// FuzzState: only what was sealed for a caller's request opens, and for nobody else.
func FuzzState(f *testing.F) {
	translator, x := fuzzed(f)
	m := one([]byte(modernBody("1", "tools/call", `"name":"x"`, "")))
	mine := handle{1, 2, 3}
	f.Add(translator.seal(x, m, mine))
	f.Add("AAAA")
	bob := &call.Exchange{Who: identity.Identity{Issuer: "i", Subject: "bob"}}
	f.Fuzz(func(t *testing.T, state string) {
		if h, ok := translator.open(x, m, state); ok && h != mine {
			t.Errorf("%q opened as %x", state, h)
		}
		if _, ok := translator.open(bob, m, translator.seal(x, m, mine)); ok {
			t.Error("it opened for somebody else")
		}
		if _, ok := translator.open(bob, m, state); ok {
			t.Errorf("%q opened for somebody else", state)
		}
	})
}

// FuzzEras: whatever a server answers to server/discover, it is one thing or the other, and modern only where it said so.
func FuzzEras(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28","2025-11-25"]}}`,
		`{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"","data":{"supported":["2025-11-25"]}}}`, `{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28",7]}}`, `not found`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		found := erasOf(message)
		if found&(speaksModern|lacksModern) == 0 || found&speaksModern != 0 && found&lacksModern != 0 || found&lacksModern != 0 && !found.speaks(mcp.Legacy) ||
			found.speaks(mcp.Legacy) && found&lacksLegacy != 0 {
			t.Errorf("%s: %b", message, found)
		}
		versions := texts(path(bytes.TrimSpace(message), "result", "supportedVersions"))
		for _, v := range versions {
			if v < mcp.ModernVersion && found&lacksLegacy != 0 {
				t.Errorf("%s lists %s: %b", message, v, found)
			}
		}
	})
}
