package condition

import (
	"errors"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"mcpgateway/internal/policy"
)

// Variable is one that conditions may read.
type Variable struct {
	Name string
	Type *types.Type
}

// Variables are all that conditions may read; what they mean is told where policies are described (policy.Policy.When).
// Their names hold dots: so one that does not exist is found when the condition is checked, and only what a condition
// reads has to be made.
var Variables = []Variable{
	{"user.issuer", types.StringType}, {"user.subject", types.StringType}, {"user.client", types.StringType},
	{"user.groups", types.NewListType(types.StringType)}, {"user.scopes", types.NewListType(types.StringType)},
	{"server.id", types.StringType},
	{"mcp.method", types.StringType}, {"mcp.era", types.StringType},
	{"mcp.tool", types.StringType}, {"mcp.prompt", types.StringType}, {"mcp.uri", types.StringType},
	{"args", types.NewMapType(types.StringType, types.DynType)},
	{"now", types.TimestampType},
}

// varying are the variables that differ between the items of a list.
var varying = []string{"mcp.tool", "mcp.prompt", "mcp.uri"}

var errURI = errors.New("the condition reads a URI that can be read in more than one way (dot segments, escapes)")

// activation gives a program the values of its variables.
type activation struct {
	facts   *policy.Facts
	program *program
}

// memo is what was made of the facts of one message, for all conditions.
type memo struct {
	now  time.Time
	args ref.Val
	// What the message names, made once for all conditions.
	name  string
	named ref.Val
}

// ResolveName implements interpreter.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	f := a.facts
	switch name {
	case "user.issuer":
		return types.String(f.Who.Issuer), true
	case "user.subject":
		return types.String(f.Who.Subject), true
	case "user.client":
		return types.String(f.Who.Client), true
	case "user.groups":
		return types.NewStringList(registry, f.Who.Groups), true
	case "user.scopes":
		return types.NewStringList(registry, f.Who.Scopes), true
	case "server.id":
		return types.String(f.Server), true
	case "mcp.method":
		return types.String(f.Method), true
	case "mcp.era":
		return types.String(f.Era), true
	case "mcp.tool":
		return a.named(policy.KindTool), true
	case "mcp.prompt":
		return a.named(policy.KindPrompt), true
	case "mcp.uri":
		if f.Kind == policy.KindResource && !f.NoName && !policy.PlainURI(f.Name) {
			return types.WrapErr(errURI), true
		}
		return a.named(policy.KindResource), true
	case "args":
		return a.args(), true
	case "now":
		return types.Timestamp{Time: a.memo().now}, true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (a *activation) Parent() interpreter.Activation { return nil }

func (a *activation) named(kind policy.Kind) ref.Val {
	switch {
	case a.facts.NoName:
		return unknown
	case a.facts.Kind == kind:
		m := a.memo()
		if m.named == nil || m.name != a.facts.Name {
			m.name, m.named = a.facts.Name, types.String(a.facts.Name)
		}
		return m.named
	}
	return types.String("")
}

var unknown = types.NewUnknown(0, nil)

func (a *activation) args() ref.Val {
	if a.facts.NoArguments {
		return unknown
	}
	m := a.memo()
	if m.args == nil {
		m.args = newArguments(a.facts.Arguments)
	}
	return m.args
}

func (a *activation) memo() *memo {
	m, ok := a.facts.Memo.(*memo)
	if !ok {
		m = &memo{now: a.program.now().UTC()}
		a.facts.Memo = m
	}
	return m
}
