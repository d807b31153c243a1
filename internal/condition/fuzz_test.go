package condition_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/condition"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
)

// Whatever an operator writes either is refused, in one short line, or makes a program that comes to an end, also without
// arguments and with strange ones.
func FuzzExpression(f *testing.F) {
	for _, when := range []string{
		`args.base == "main"`, `args.list.exists(i, i.x == 1) && has(args.o)`, `mcp.uri.matches("^a(b|c)*$")`,
		`user.groups.all(g, g in ["a", "b"])`, `timestamp(args.t) + duration("1h") > now`, `args.a.map(x, x + x).size() > 3`,
		`string(args.a) + "x" == "1x" ? true : bytes(args.b) == b"c"`, `[[1], [2]].exists(l, l[0] == args.n)`, `dyn(args).a == {"b": 1}`,
	} {
		f.Add(when, `{"a":[1,2.5,"x"],"o":{"b":null}}`)
	}
	f.Fuzz(func(t *testing.T, when, args string) {
		program, err := compile.Program(when)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 1000 {
				t.Errorf("%q: %q", when, err)
			}
			return
		}
		c, err := condition.Loader{Now: func() time.Time { return clock }}.Load(&policy.Policy{When: when, Program: program})
		if err != nil {
			t.Fatalf("%q compiles and cannot be loaded: %v", when, err)
		}
		for _, raw := range []string{"", "{}", args} {
			if raw != "" && !wellFormed(raw) {
				continue
			}
			facts := merge(raw)
			if raw == "" {
				facts.Arguments, facts.NoArguments, facts.NoName = nil, true, true
			}
			began := time.Now()
			truth, err := c.Holds(facts)
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("%q took %v", when, d)
			}
			if err != nil && truth != policy.No {
				t.Errorf("%q: %v with %v", when, truth, err)
			}
		}
	})
}

// wellFormed tells whether the shim's parser would let the arguments through.
func wellFormed(args string) bool {
	b, err := mcp.Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":` + args + `}}`))
	return err == nil && b.Messages[0].Params.Arguments[0] == '{'
}

// What a condition reads of arguments is what encoding/json reads, which takes names regardless of case, and the last of two.
func FuzzArguments(f *testing.F) {
	for _, args := range []string{
		`{"base":"main"}`, `{"Base":"main"}`, `{"base":"dev","BASE":"main"}`, `{"base":"m\u0061in"}`, `{"\u0062ase":"main"}`,
		`{"baſe":"main"}`, `{"n":1.0,"base":1}`, `{"n":12345678901234567890}`, `{"__proto__":{"base":"main"}}`, `{"base":"\ud800"}`, `{"n":3e0}`, `{"n":9E890}`,
	} {
		f.Add(args)
	}
	has, is, isThree := load(f, `has(args.base)`), load(f, `has(args.base) && args.base == "main"`), load(f, `has(args.n) && args.n == 3`)
	f.Fuzz(func(t *testing.T, args string) {
		if !wellFormed(args) {
			return
		}
		var other struct {
			Base any
			N    any
		}
		decoder := json.NewDecoder(strings.NewReader(args))
		decoder.UseNumber() // what no double can hold is a number all the same
		if err := decoder.Decode(&other); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		check := func(c policy.Condition, what string, want bool) {
			truth, err := c.Holds(merge(args))
			if err == nil && (truth == policy.Yes) != want {
				t.Errorf("%s: %s is decided as %v, a server reads %v", args, what, truth, other)
			}
		}
		if !strings.Contains(args, "null") {
			check(has, "has", other.Base != nil)
		}
		check(is, "is", other.Base == any("main"))
		n, _ := other.N.(json.Number)
		three, err := n.Float64()
		check(isThree, "three", err == nil && three == 3)
	})
}
