// Package condition decides the when of policies: expressions in CEL (cel.dev) over who calls, what they call, and with
// which arguments.
//
// It runs programs that package compile made, which parses and checks them: so a shim links the interpreter, and neither a
// parser nor a checker. The gateway links neither package.
package condition

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	exprpb "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"

	"mcpgateway/internal/policy"
)

// The bounds of one evaluation. The cost is CEL's own measure: about one for each name that is read and each operation on
// a small value, and more for long texts and lists.
const (
	MaxCost  = 100_000 // some milliseconds
	MaxRegex = 1_000   // instructions of a pattern
	// maxMatched bounds the text that is compared with a pattern, in bytes.
	maxMatched = 64 << 10
	// MaxProgram bounds the checked form of one expression, in bytes.
	MaxProgram = 64 << 10
)

// Refusals to decide. They say nothing of what was read, so that they can be logged.
var (
	errCost    = errors.New("the condition costs too much with these arguments")
	errTime    = errors.New("the condition takes too long with these arguments")
	errKey     = errors.New("the condition reads an argument that is not there, or not there in this spelling: guard it by has(...)")
	errType    = errors.New("the condition gets a value of another type than it takes")
	errFailed  = errors.New("the condition cannot be evaluated with these values")
	errLong    = errors.New("the condition compares too long a text with a pattern")
	errNotBool = errors.New("the condition is neither true nor false")
)

// program is a condition that is ready to run.
type program struct {
	run interpreter.InterpretableV2
	// small is run without counting what it costs, which takes longer than most conditions: for where there is no loop
	// and no argument.
	small  interpreter.InterpretableV2
	loops  bool // it has a comprehension, and can be interrupted
	args   bool // it reads arguments
	varies bool
	now    func() time.Time
	limit  time.Duration
}

// Loader makes conditions of compiled programs. Its zero value is what shims use.
type Loader struct {
	Now func() time.Time // what the variable now says; time.Now where nil
	// Limit is how long a condition with loops may take; a second where 0. What it costs is bounded already, and much
	// sooner: this is for where that measure is wrong.
	Limit time.Duration
}

// Load makes the condition of a policy from its Program. It is policy.Conditions.
func (l Loader) Load(p *policy.Policy) (policy.Condition, error) {
	if len(p.Program) == 0 {
		return nil, errors.New("was not compiled by whoever made the rules")
	}
	if len(p.Program) > MaxProgram {
		return nil, fmt.Errorf("its program is longer than %d bytes", MaxProgram)
	}
	var checked exprpb.CheckedExpr
	if err := proto.Unmarshal(p.Program, &checked); err != nil {
		return nil, errors.New("its program is damaged")
	}
	tree, err := ast.ToAST(&checked)
	if err != nil {
		return nil, fmt.Errorf("read its program: %w", err)
	}
	return l.plan(tree)
}

func (l Loader) plan(tree *ast.AST) (policy.Condition, error) {
	m, err := machine()
	if err != nil {
		return nil, err
	}
	c := &program{now: l.Now, limit: l.Limit}
	if c.now == nil {
		c.now = time.Now
	}
	if c.limit == 0 {
		c.limit = time.Second
	}
	for _, read := range tree.ReferenceMap() {
		c.varies = c.varies || slices.Contains(varying, read.Name)
		c.args = c.args || read.Name == "args"
	}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		c.loops = c.loops || e.Kind() == ast.ComprehensionKind
	}))
	tracker, err := cost.NewTracker(nil, cost.TrackerLimit(MaxCost))
	if err != nil {
		return nil, err
	}
	options := []interpreter.PlannerOption{interpreter.Optimize(), interpreter.CompileRegexConstants(matches), interpreter.InterruptableEval()}
	if c.small, err = m.NewInterpretable(tree, options...); err == nil {
		c.run, err = m.NewInterpretable(tree, append(options, interpreter.CostObserver(interpreter.CostTrackerFactory(tracker.Clone)))...)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare its program: %w", err)
	}
	return c, nil
}

// matches compiles patterns once, and bounds what they are tried on: costs are counted after the fact, and the time that a
// pattern takes grows with both.
var matches = &interpreter.RegexOptimization{Function: "matches", RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
			text, ok := values[0].(types.String)
			switch {
			case !ok:
				return types.MaybeNoSuchOverloadErr(values[0])
			case len(text) > maxMatched:
				return types.WrapErr(errLong)
			}
			return types.Bool(compiled.MatchString(string(text)))
		}), nil
	}}

// machine has the functions of CEL's standard library. It never changes once it is made.
var machine = sync.OnceValues(func() (interpreter.Interpreter, error) {
	functions := interpreter.NewDispatcher()
	for _, f := range stdlib.Functions() {
		overloads, err := f.Bindings()
		if err == nil {
			err = functions.Add(overloads...)
		}
		if err != nil {
			return nil, err
		}
	}
	at := interpreter.NewAttributeFactory(containers.DefaultContainer, registry, registry)
	return interpreter.NewInterpreter(functions, containers.DefaultContainer, registry, registry, at), nil
})

var registry = func() *types.Registry {
	r, err := types.NewRegistry()
	if err != nil {
		panic(err) // it is made of nothing
	}
	return r
}()

// Varies implements policy.Condition.
func (c *program) Varies() bool { return c.varies }

// Holds implements policy.Condition.
func (c *program) Holds(f *policy.Facts) (truth policy.Truth, err error) {
	frame, err := interpreter.NewExecutionFrame(&activation{facts: f, program: c})
	if err != nil {
		return policy.No, errFailed
	}
	defer frame.Close()
	if c.loops {
		ctx, cancel := context.WithTimeout(context.Background(), c.limit)
		defer cancel()
		if err := frame.SetContext(ctx, 100); err != nil {
			return policy.No, errFailed
		}
	}
	defer func() {
		switch p := recover().(type) { // that is how the interpreter reports that a limit was reached
		case nil:
		case cost.LimitExceededError:
			err = errCost
		case interpreter.EvalCancelledError:
			err = errTime
			if p.Cause == interpreter.CostLimitExceeded {
				err = errCost
			}
		default:
			err = errFailed
		}
	}()
	run := c.run
	if !c.loops && (!c.args || f.NoArguments) {
		run = c.small
	}
	switch v := run.Exec(frame).(type) {
	case types.Bool:
		if v {
			return policy.Yes, nil
		}
		return policy.No, nil
	case *types.Unknown:
		return policy.Depends, nil
	case *types.Err:
		return policy.No, explain(v)
	}
	return policy.No, errNotBool
}

// explain replaces the words of an error, which may repeat values, by those of its kind.
func explain(e *types.Err) error {
	for _, own := range []error{errTooMany, errBigNumber, errSurrogate, errSpelling, errURI, errLong} {
		if errors.Is(e, own) || e.Error() == own.Error() {
			return own
		}
	}
	switch text := e.Error(); {
	case strings.Contains(text, "no such key"):
		return errKey
	case strings.Contains(text, "no such overload"), strings.Contains(text, "unsupported"), strings.Contains(text, "type conversion"):
		return errType
	case strings.Contains(text, "interrupted"):
		return errTime
	}
	return errFailed
}
