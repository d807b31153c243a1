package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

func modernCall(id, tool, more string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}` + more + `}}`
}

// The fixture of one era refuses the other as the specification says, and hands on its own.
func TestOneEraRefusesTheOther(t *testing.T) {
	legacy := `{"jsonrpc":"2.0","id":1,"method":"initialize"}`
	for _, tc := range []struct {
		era                   mcp.Era
		method, version, body string
		status                int
		says                  string
	}{
		{mcp.Legacy, "POST", "", legacy, 200, "fixture"},
		{mcp.Legacy, "GET", "2025-11-25", "", 200, "fixture"},
		{mcp.Legacy, "POST", mcp.ModernVersion, modernCall("1", "x", ""), 400, "-32000"},
		{mcp.Modern, "POST", mcp.ModernVersion, modernCall("1", "x", ""), 200, "fixture"},
		{mcp.Modern, "POST", "", legacy, 400, "-32020"},
		{mcp.Modern, "GET", "2025-11-25", "", 405, ""},
	} {
		o, ok := readEra(eraArgs(tc.era, "fixture"))
		if !ok || o.era != tc.era || o.fixture != "fixture" {
			t.Fatalf("read %+v, %v", o, ok)
		}
		r := httptest.NewRequest(tc.method, "/", strings.NewReader(tc.body))
		r.Header.Set(mcp.HeaderVersion, tc.version)
		w := httptest.NewRecorder()
		o.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); string(body) != tc.body {
				t.Errorf("handed on %s", body)
			}
			_, _ = io.WriteString(w, "fixture")
		})).ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%v %s %s: %d %s", tc.era, tc.method, tc.version, w.Code, w.Body)
		}
		if m, err := mcp.ParseLabelled([]byte(tc.body)); err == nil && (o.foreign(&m) != nil) != (tc.status != 200) {
			t.Errorf("%v, stdio, %s: %v", tc.era, tc.body, o.foreign(&m))
		}
	}
	if _, ok := readEra([]string{"-runs", "2"}); ok {
		t.Error("other arguments are taken for an era's")
	}
}

// The tools that ask do so in the form of their era, until all is answered.
func TestAskingTools(t *testing.T) {
	o, _ := readEra(eraArgs(mcp.Modern, "fixture"))
	const tool = "test_elicitation"
	for more, want := range map[string]string{
		"": `"requestState":"round-0","inputRequests":{"user":{"method":"elicitation/create"`,
		`,"requestState":"round-0","inputResponses":{"other":{}}`: `"requestState":"round-0"`,
		`,"requestState":"round-0","inputResponses":{"user":{}}`:  `"resultType":"complete"`,
	} {
		m, err := mcp.ParseLabelled([]byte(modernCall("1", tool, more)))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(round(&m, o.steps(&m))); !strings.Contains(got, want) {
			t.Errorf("%s: %s", more, got)
		}
	}
	o, _ = readEra(eraArgs(mcp.Legacy, "fixture"))
	m, err := mcp.ParseLabelled([]byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"test_input_required_result_multi_round"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	o.asker.talk(&m, o.steps(&m), func(line []byte) {
		said = append(said, string(line))
		if asked, err := mcp.ParseLabelled(line); err == nil && asked.Kind == mcp.Request {
			reply, _ := mcp.ParseLabelled([]byte(`{"jsonrpc":"2.0","id":` + string(asked.ID.Token) + `,"result":{}}`))
			if !o.asker.take(&reply) {
				t.Errorf("%s is not taken", asked.ID.Token)
			}
		}
	}, nil)
	if len(said) != 3 || !strings.Contains(said[0], "Step 1") || !strings.Contains(said[1], "Step 2") || !strings.Contains(said[2], `"id":7,"result"`) {
		t.Errorf("said %q", said)
	}
}
