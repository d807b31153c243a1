package ruleset

import (
	"testing"
	"time"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/selector"
)

func TestCompileFilters(t *testing.T) {
	good := func(name string, on ...string) rules.Filter {
		return rules.Filter{Name: name, On: on, Timeout: time.Second, OnError: rules.OnErrorReject}
	}
	far := good("far", "*&direction=response")
	far.Server = &rules.FilterServer{URL: "https://x.test:8443/mcp", Tool: "check", Egress: "10.0.0.0/8 8443"}
	compiled, err := compileFilters([]rules.Filter{good("a", "tools/call&direction=request", "prompts/get"), far, good("b", "tools/list&direction=request")}, secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	names := func(d selector.Direction) (all string) {
		for _, f := range compiled[d] {
			all += f.Name + " "
		}
		return all
	}
	if got := names(selector.Request) + "| " + names(selector.Response); got != "a b | a far " {
		t.Errorf("filters %s", got)
	}
	if f := compiled[selector.Response][1]; f.URL.Host != "x.test:8443" || len(f.Egress) != 1 {
		t.Errorf("%+v", f)
	}
	for what, change := range map[string]func(*rules.Filter){
		"no name":     func(f *rules.Filter) { f.Name = "" },
		"no selector": func(f *rules.Filter) { f.On = nil },
		"no such":     func(f *rules.Filter) { f.On = []string{"a b"} },
		"no timeout":  func(f *rules.Filter) { f.Timeout = 0 },
		"long":        func(f *rules.Filter) { f.Timeout = 2 * time.Minute },
		"onError":     func(f *rules.Filter) { f.OnError = "" },
		"no tool":     func(f *rules.Filter) { f.Server = &rules.FilterServer{URL: "https://x.test", Egress: "public"} },
		"no URL":      func(f *rules.Filter) { f.Server = &rules.FilterServer{Tool: "t", Egress: "public"} },
		"no secret of ours": func(f *rules.Filter) {
			f.Server = &rules.FilterServer{URL: "https://x.test", Tool: "t", Egress: "public", Caller: &rules.FilterUser{Issuer: "https://login.test", Client: rules.Client{ID: "s"}}}
		},
		"no egress": func(f *rules.Filter) { f.Server = &rules.FilterServer{URL: "https://x.test", Tool: "t"} },
	} {
		f := good("f", "*")
		change(&f)
		if _, err := compileFilters([]rules.Filter{f}, secret.Text{}); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := compileFilters([]rules.Filter{good("f", "*"), good("f", "*")}, secret.Text{}); err == nil {
		t.Error("a name twice is taken")
	}
}
