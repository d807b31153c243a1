package compile

import (
	"bytes"
	"strings"
	"testing"

	"mcpgateway/internal/policy"
)

func TestCheck(t *testing.T) {
	for when, want := range map[string]string{
		`true`: "", `args.base == "main"`: "", `args.a.b.c[0] == 1 && has(args.x)`: "",
		`user.groups.exists(g, g.startsWith("eng"))`: "",
		``:                                     "Syntax error",
		`args.base ==`:                         "line 1, column 13: Syntax error",
		"true\n&& tru":                         "line 2, column 4: undeclared reference to 'tru'",
		`usr.subject == "x"`:                   "line 1, column 4: undeclared reference to 'usr.subject' (did you mean 'user.subject'?)",
		`user.sub == "x"`:                      "line 1, column 5: undeclared reference to 'user.sub'",
		`mcp.tol == "x"`:                       "undeclared reference to 'mcp.tol' (did you mean 'mcp.tool'?)",
		`server == "x"`:                        "undeclared reference to 'server'",
		`has(user.subject)`:                    "undeclared reference to 'user'",
		`f(args.x)`:                            "undeclared reference to 'f'",
		`user.subject == 1`:                    "no matching overload",
		`user.groups == "x"`:                   "no matching overload",
		`now > 5`:                              "no matching overload",
		`"x"`:                                  "comes to string and must come to true or false",
		`args.flag`:                            "comes to whatever an argument holds",
		`1 + 1`:                                "comes to int",
		`args.x.matches("(")`:                  "column 16: invalid matches argument",
		`args.x.matches(args.y)`:               "pattern that is written out",
		`matches(args.x, args.y)`:              "pattern that is written out",
		`args.x.matches("((a{100}){100}){9}")`: "column",
		`timestamp("x") < now`:                 "invalid timestamp",
		`[1, "a"].exists(x, x == 1)`:           "expected type",
		`args.a.exists(x, args.b.exists(y, args.c.exists(z, z == 1)))`: "nest",
		`args.a.all(x, args.b.all(y, args.c.contains(y)))`:             "may cost",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100):   "recursion",
		strings.Repeat("!", 200) + "true":                              "",
		`args.a == "` + strings.Repeat("x", 5000) + `"`:                "size exceeds",
		"true" + strings.Repeat(" && true", 509):                       "node",
		"\x00":                                                         "Syntax error",
		"args.\xff":                                                    "Syntax error",
		"dyn(true)":                                                    "comes to whatever",
		"args.x ? true : false":                                        "",
	} {
		err := Check(when)
		if want == "" {
			if err != nil {
				t.Errorf("%.60s: %v", when, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", when, err, want)
		} else if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 900 {
			t.Errorf("%.60s: not a line of a log: %q", when, err)
		}
	}
}

// The same expression makes the same bytes: a plan or rules that did not change must not look as if they had.
func TestProgramsAreStable(t *testing.T) {
	const when = `args.a == 1 && args.b == "x" && user.groups.exists(g, g == "x") && mcp.tool == "t"`
	first, err := Program(when)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := Program(when); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("differs: %v", err)
		}
	}
}

// Rules must fit a ConfigMap: a program is not much longer than its text.
func TestProgramsAreShort(t *testing.T) {
	const when = `args.a == 1 && args.b == "x" && user.groups.exists(g, g == "x") && mcp.tool == "t"`
	if program, err := Program(when); err != nil || len(program) > 11*len(when) {
		t.Errorf("%d bytes of %d, %v", len(program), len(when), err)
	}
}

func TestPolicies(t *testing.T) {
	in := []policy.Policy{{Name: "a", When: "true"}, {Name: "b"}}
	out, err := Policies(in)
	if err != nil || len(out[0].Program) == 0 || out[1].Program != nil || in[0].Program != nil {
		t.Errorf("got %+v, %v, and %+v before", out, err, in)
	}
	if _, err := Policies([]policy.Policy{{Name: "p", When: "x"}}); err == nil || !strings.HasPrefix(err.Error(), `policy "p": when: line 1`) {
		t.Errorf("got %v", err)
	}
}
