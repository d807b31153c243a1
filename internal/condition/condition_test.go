package condition_test

import (
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/condition"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

var clock = time.Date(2026, 11, 2, 8, 30, 0, 0, time.UTC)

func load(t testing.TB, when string) policy.Condition {
	t.Helper()
	program, err := compile.Program(when)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	c, err := condition.Loader{Now: func() time.Time { return clock }}.Load(&policy.Policy{When: when, Program: program})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	return c
}

// merge is a call of a tool.
func merge(args string) *policy.Facts {
	return &policy.Facts{
		Who: &identity.Identity{Issuer: "https://corp.test", Subject: "ann", Groups: []string{"engineering", "staff"},
			Client: "inspector", Scopes: []string{"repo", "openid"}},
		Server: "github", Era: "modern", Method: "tools/call", Kind: policy.KindTool, Name: "merge", Arguments: []byte(args),
	}
}

// The truths, and failures, by their letters.
func said(truth policy.Truth, err error) string {
	if err != nil {
		return err.Error()
	}
	return []string{"no", "yes", "depends"}[truth]
}

func TestHolds(t *testing.T) {
	const args = `{"base":"main","n":3,"x":2.5,"whole":3.0,"big":9007199254740993,"huge":1e400,"far":-9007199254740992,
		"half":"\ud800","flag":true,"none":null,"list":[1,"two",{"deep":[true]}],"o":{"a":{"b":"c"}},"Case":1,"tw":1,"TW":2,
		"when":"2026-11-02T09:00:00Z","":"empty","\u006bey":"k","kelvin":1}`
	for when, want := range map[string]string{
		`args.base == "main"`:                        "yes",
		`args.base == "dev"`:                         "no",
		`mcp.tool == "merge" && args.base == "main"`: "yes",
		`args.n == 3 && args.n == 3.0 && args.n < 4`: "yes",
		`args.whole == 3`:                            "yes",
		`args.x > 2 && args.x < 2.6`:                 "yes",
		`args.far == -9007199254740992`:              "yes",
		`args.big == 1`:                              "exact double",
		`args.huge > 1.0`:                            "exact double",
		`args.half == "x"`:                           "surrogate",
		`args.flag == true && args.none == null`:     "yes",
		`args.list.size() == 3 && args.list[1] == "two" && args.list[2].deep[0] == true`: "yes",
		`args.list[9] == 1`:                             "cannot be evaluated",
		`args.o.a.b == "c" && args["o"]["a"].b == "c"`:  "yes",
		`args.o == {"a": {"b": "c"}}`:                   "yes",
		`args.o == {"a": {"b": "d"}}`:                   "no",
		`{"a": {"b": "c"}} == args.o`:                   "yes",
		`args.missing == "x"`:                           "not there",
		`has(args.missing)`:                             "no",
		`has(args.o.a) && !has(args.o.b)`:               "yes",
		`has(args.case)`:                                "differs in case",
		`has(args.Case)`:                                "yes",
		`args.tw == 1`:                                  "differs in case",
		`"tw" in args`:                                  "differs in case",
		`has(args.\u212Aelvin)`:                         "",
		`"\u212Aelvin" in args`:                         "differs in case",
		`"n" in args && !("m" in args)`:                 "yes",
		`args.base.contains(args.n)`:                    "another type",
		`args.base + args.n == "x"`:                     "another type",
		`args.base`:                                     "",
		`args[""] == "empty"`:                           "yes",
		`args.key == "k"`:                               "yes",
		`args.base.matches("^ma.n$")`:                   "yes",
		`args.base.matches("(?i)MAIN")`:                 "yes",
		`args.base.matches(args.o.a.b)`:                 "",
		`args.exists(k, k == "flag")`:                   "yes",
		`args.list.all(i, i != 7)`:                      "yes",
		`["main", "release"].exists(b, b == args.base)`: "yes",
		`args.base in ["main", "release"]`:              "yes",
		`args.size() == 19`:                             "yes",
		`timestamp(args.when) > now`:                    "yes",
		`timestamp(args.base) > now`:                    "cannot be evaluated",
		`now.getHours() < 9 && now.getDayOfWeek() == 1`: "yes",
		`now < timestamp("2026-11-02T08:30:01Z")`:       "yes",
		`user.subject == "ann" && user.issuer == "https://corp.test" && user.client == "inspector"`: "yes",
		`"engineering" in user.groups && user.groups.size() == 2`:                                   "yes",
		`"repo" in user.scopes`: "yes",
		`server.id == "github" && mcp.method == "tools/call" && mcp.era == "modern"`: "yes",
		`mcp.prompt == "" && mcp.uri == ""`:                                          "yes",
		`args.missing == 1 || true`:                                                  "yes", // CEL: what is true without it is true
		`args.missing == 1 && false`:                                                 "no",
		`type(args.o) == map && type(args.n) == int`:                                 "yes",
	} {
		if want == "" {
			if err := compile.Check(when); err == nil {
				t.Errorf("%s compiles", when)
			}
			continue
		}
		got := said(load(t, when).Holds(merge(args)))
		if got != want && (len(want) < 8 || !strings.Contains(got, want)) {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
}

// What is not known yet decides nothing, unless the rest decides without it.
func TestDepends(t *testing.T) {
	for when, want := range map[string][2]string{ // of a list's item, of a handshake
		`args.base == "main"`:                                 {"depends", "depends"},
		`has(args.base)`:                                      {"depends", "depends"},
		`"base" in args || args.size() > 1`:                   {"depends", "depends"},
		`args.exists(k, k == "x")`:                            {"depends", "depends"},
		`args.base.matches("^m")`:                             {"depends", "depends"},
		`args.o.a.b[0] == 1`:                                  {"depends", "depends"},
		`mcp.tool == "merge" && args.base == "main"`:          {"depends", "depends"},
		`mcp.tool == "other" && args.base == "main"`:          {"no", "depends"},
		`args.base == "main" && user.subject == "bob"`:        {"no", "no"},
		`args.base == "main" || "staff" in user.groups`:       {"yes", "yes"},
		`mcp.tool == "merge"`:                                 {"yes", "depends"},
		`mcp.tool != "search"`:                                {"yes", "depends"},
		`mcp.uri.startsWith("x")`:                             {"no", "depends"},
		`mcp.method == "tools/call"`:                          {"yes", "yes"},
		`now > timestamp("2026-01-01T00:00:00Z")`:             {"yes", "yes"},
		`["a"].exists(x, args[x] == 1)`:                       {"depends", "depends"},
		`mcp.tool == "merge" ? user.subject == "ann" : false`: {"yes", "depends"},
	} {
		item, handshake := merge(""), merge("")
		item.NoArguments, handshake.NoArguments, handshake.NoName = true, true, true
		for i, f := range []*policy.Facts{item, handshake} {
			if got := said(load(t, when).Holds(f)); got != want[i] {
				t.Errorf("%s, %d: %s, want %s", when, i, got, want[i])
			}
		}
	}
}

func TestVaries(t *testing.T) {
	for when, want := range map[string]bool{
		`mcp.tool == "x"`: true, `user.subject == "x" || mcp.uri == ""`: true, `["a"].exists(x, x == mcp.prompt)`: true,
		`args.x == 1`: false, `mcp.method == "x"`: false, `now > now`: false,
	} {
		if got := load(t, when).Varies(); got != want {
			t.Errorf("%s varies: %v", when, got)
		}
	}
}

// A URI is readable only where every reader reads the same.
func TestURIs(t *testing.T) {
	c := load(t, `mcp.uri.startsWith("file:///public/")`)
	for uri, want := range map[string]string{
		"file:///public/a b": "yes", "file:///public/a%20b.txt": "yes", "file:///secret/a": "no", "FILE:///public/x": "no",
		"file:///public/../secret": "more than one way", "file:///public/%2e%2e/secret": "more than one way",
		"file:///public/%2e%2e%2fsecret": "more than one way", `file:///public/..\secret`: "more than one way",
		"file:///%70ublic/x": "more than one way", "file:///public/50%": "more than one way", "file:///public//x": "more than one way",
		"file:///public/%252e": "more than one way", "file:///public/%ff": "more than one way",
	} {
		f := merge("")
		f.Method, f.Kind, f.Name = "resources/read", policy.KindResource, uri
		if got := said(c.Holds(f)); got != want && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
}

// Limits hold whatever the arguments are, and errors repeat nothing of them.
func TestLimits(t *testing.T) {
	numbers := strings.Repeat("1,", 5000) + "1"
	text := strings.Repeat("a", 5<<20)
	for _, c := range []struct{ when, args, want string }{
		{`args.list.all(i, i < 2)`, `{"list":[` + numbers + `]}`, "yes"},
		{`args.list.all(i, i < 2)`, `{"list":[` + numbers + "," + numbers + `]}`, "more than 10000 values"},
		{`args.o.all(k, k != "x")`, `{"o":{` + members(10_001) + `}}`, "more than 10000 values"},
		{`args.all(k, k != "x")`, `{` + members(10_001) + `}`, "more than 10000 values"},
		{`args.list.all(i, args.a.contains("b") == false)`, `{"a":"` + text + `","list":[` + numbers + `]}`, "costs too much"},
		{`args.a.contains("b")`, `{"a":"` + text + `"}`, "no"},
		{`args.a.matches("(a*)*b")`, `{"a":"` + text + `"}`, "costs too much"},
		{`args.a.matches("(a*)*b")`, `{"a":"` + text[:70<<10] + `"}`, "too long a text"},
		{`args.a.matches("(a*)*b")`, `{"a":"` + text[:60<<10] + `"}`, "no"},
		{`args.a == "b"`, `{"a":"` + text + `"}`, "no"},
		{`args.other == 1`, `{"a":"` + text + `","other":1}`, "yes"},
		{`has(args.base) && args.base == "main"`, `{"__proto__":{"base":"main"}}`, "differs in case"},
		{`args.s == args.missing`, `{"s":"hunter2"}`, "not there"},
		{`int(args.s) == 1`, `{"s":"hunter2"}`, "another type"},
		{`duration(args.s) == duration("1s")`, `{"s":"hunter2"}`, "another type"},
		{`args[args.s] == 1`, `{"s":"hunter2"}`, "not there"},
	} {
		got := said(load(t, c.when).Holds(merge(c.args)))
		if got != c.want && (len(c.want) < 8 || !strings.Contains(got, c.want)) || strings.Contains(got, "hunter2") {
			t.Errorf("%s with %.40s: %s, want %s", c.when, c.args, got, c.want)
		}
	}
}

// A condition that runs for too long is ended.
func TestInterrupt(t *testing.T) {
	program, err := compile.Program(`args.list.all(i, i < 2)`)
	if err != nil {
		t.Fatal(err)
	}
	c, err := condition.Loader{Limit: time.Nanosecond}.Load(&policy.Policy{Program: program})
	if err != nil {
		t.Fatal(err)
	}
	if got := said(c.Holds(merge(`{"list":[` + strings.Repeat("1,", 5000) + `1]}`))); !strings.Contains(got, "takes too long") {
		t.Error(got)
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + strings.Repeat("k", i%3) + itoa(i) + `":1`)
	}
	return b.String()
}

func itoa(n int) string { return time.Duration(n).String() }

func TestLoadRefuses(t *testing.T) {
	good, err := compile.Program("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string][]byte{
		"none": nil, "noise": []byte("noise"), "cut": good[:len(good)-1], "too long": make([]byte, condition.MaxProgram+1),
	} {
		if c, err := (condition.Loader{}).Load(&policy.Policy{When: "true", Program: program}); err == nil {
			t.Errorf("%s: became %v", name, c)
		}
	}
}
