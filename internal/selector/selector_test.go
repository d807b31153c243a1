package selector

import (
	"strings"
	"testing"
)

func TestSelects(t *testing.T) {
	call := func(name string) Message { return Message{Method: "tools/call", Names: []string{name}} }
	unknown := Message{Unknown: true}
	for _, c := range []struct {
		text     string
		way      Direction
		message  Message
		selected bool
	}{
		{"tools/call", Request, call("x"), true},
		{"tools/call", Response, call("x"), true},
		{"tools/call", Request, Message{Method: "tools/list"}, false},
		{"tools/call", Request, Message{Method: "Tools/Call", Names: []string{""}}, false},
		{"tools/call&direction=response", Request, call("x"), false},
		{"tools/call&direction=response", Response, call("x"), true},
		{"tools/call?direction=response", Response, call("x"), true},
		{"tools/call&direction=request", Response, call("x"), false},
		{"tools/call?name=create_*", Request, call("create_x"), true},
		{"tools/call?name=create_*", Request, call("xcreate_"), false},
		{"tools/call?name=create_*&direction=request", Request, call("create_"), true},
		{"tools/call?direction=request&name=create_*", Response, call("create_"), false},
		{"tools/call?name=*", Request, call(""), true},
		{"*", Request, call("x"), true},
		{"*", Response, Message{Method: "notifications/progress", Names: []string{""}}, true},
		{"tasks/*", Request, Message{Method: "tasks/get", Names: []string{"t"}}, true},
		{"resources/read?name=file:///a%3Fb%26c%25*", Request, Message{Method: "resources/read", Names: []string{"file:///a?b&c%d"}}, true},
		{"subscriptions/listen?name=b*", Request, Message{Method: "subscriptions/listen", Names: []string{"a", "b"}}, true},
		{"tools/call?name=create_*", Response, unknown, true},
		{"tools/call?name=create_*&direction=request", Response, unknown, false},
	} {
		s, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := s.Selects(c.way, c.message); got != c.selected {
			t.Errorf("%s, way %d, %+v: selected %v", c.text, c.way, c.message, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "?", "a b", "a?", "a&", "a?name=", "a?name", "a?x=1", "a?direction=up", "a?direction=", "a?name=a&name=b",
		"a?direction=request&direction=response", "a?direction=request&direction=request", "a?name=b?direction=request", "a?name=%", "a?name=%0a",
		"a?name=%ff", "?name=a", strings.Repeat("a", 129), "a?name=" + strings.Repeat("a", maxText), "a?name=b&", "a?Name=b"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%.80q is taken", text)
		}
	}
	if _, err := ParseAll(nil); err == nil {
		t.Error("no selectors are taken")
	}
	var zero Selector
	if zero.Selects(Request, Message{Method: "a", Names: []string{""}}) || zero.Selects(Response, Message{Unknown: true}) {
		t.Error("the zero selector selects")
	}
}

// What can be read selects what it says and nothing else, and never panics.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"*", "tools/call?name=create_*&direction=request", "tools/call&direction=response", "a?name=%26", "a?name=%2", "&&", "a?direction=response&name=b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		method, rest, _ := strings.Cut(strings.Replace(text, "&", "?", 1), "?")
		if !strings.Contains(method, "*") {
			if s.Selects(Request, Message{Method: method + "x", Names: []string{""}}) {
				t.Errorf("%q selects another method", text)
			}
			if !strings.Contains(rest, "name=") && s.Selects(Request, Message{Method: method}) == strings.Contains(rest, "direction=response") {
				t.Errorf("%q selects requests: %v", text, s.Goes(Request))
			}
		}
		if !s.Goes(Request) && !s.Goes(Response) {
			t.Errorf("%q selects nothing", text)
		}
	})
}
