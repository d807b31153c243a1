package audit

import (
	"net/http"
	"strings"
	"testing"
)

func TestCompileRefuses(t *testing.T) {
	for name, s := range map[string]Settings{
		"kind": {Bodies: "some"}, "no bound": {Bodies: BodiesFull}, "negative": {Bodies: BodiesFull, MaxBody: -1},
		"too much": {Bodies: BodiesFull, MaxBody: MaxBody + 1}, "path": {Bodies: BodiesFull, MaxBody: 1, Redact: []string{"a"}},
	} {
		if _, err := Compile(&s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if k, err := Compile(nil); err != nil || k.Body != 0 || !k.Headers || k.Required {
		t.Errorf("%+v, %v", k, err)
	}
}

// What is named by a path is not in what is kept, wherever a body is cut.
func TestKeepHidesWhatIsCut(t *testing.T) {
	k, err := Compile(&Settings{Bodies: BodiesFull, MaxBody: 100, Redact: []string{"$..password"}})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"a":[{"password":"hunter2","b":"ä"},{"password":{"x":["hunter2"]}}]}`)
	for n := range body {
		kept, truncated := k.Keep(Excerpt{body[:n], true})
		if strings.Contains(string(kept), "hunt") || !truncated {
			t.Errorf("of %s is kept %s", body[:n], kept)
		}
	}
	if kept, truncated := k.Keep(Excerpt{Text: body}); truncated || string(kept) != `{"a":[{"password":"[redacted]","b":"ä"},{"password":"[redacted]"}]}` {
		t.Errorf("%s, %v", kept, truncated)
	}
	if kept, truncated := k.Keep(Excerpt{Text: []byte("<html>\x00\xff")}); kept != nil || !truncated {
		t.Errorf("a page, which no path can be found in: %s, %v", kept, truncated)
	}
}

func TestHeadersByAllowList(t *testing.T) {
	h := http.Header{"Authorization": {"Bearer x"}, "Cookie": {"x"}, "Mcp-Session-Id": {"x"}, "Mcp-Param-Token": {"x"}, "Shim-Caller": {"x"},
		"Content-Type": {"application/json"}, "Mcp-Name": {strings.Repeat("n", 1000)}, "Empty": nil}
	got := Headers(h)
	for name := range h {
		switch {
		case name == "Content-Type":
			if got[name][0] != "application/json" {
				t.Errorf("%s: %s", name, got[name])
			}
		case name == "Mcp-Name":
			if len(got[name][0]) != maxHeaderValue {
				t.Errorf("%d bytes of a value", len(got[name][0]))
			}
		case got[name][0] != "[redacted]":
			t.Errorf("%s: %s", name, got[name])
		}
	}
	many := http.Header{}
	for i := range 500 {
		many["X"+strings.Repeat("x", i)] = []string{"x"}
	}
	if n := len(Headers(many)); n != maxHeaders {
		t.Errorf("%d headers are kept", n)
	}
}
