// Package compile parses and checks the when of policies, for whoever reads what an operator wrote and makes the rules of
// a shim. It decides nothing: package condition runs what is made here.
package compile

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	exprpb "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"

	"mcpgateway/internal/condition"
	"mcpgateway/internal/policy"
)

// The bounds of an expression.
const (
	maxBytes = 4096
	maxDepth = 50
	maxNodes = 1000 // after macros are expanded
	maxLoops = 2    // within each other
)

// What a condition may cost is estimated for arguments of ordinary size; the shim counts what it really costs. An expression
// that would reach the shim's limit already for these is refused.
const (
	ordinaryText = 1024 // bytes
	ordinaryList = 100  // items
)

// language is what expressions are written in: the standard library of CEL, with our variables.
var language = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(maxBytes), cel.ParserRecursionLimit(maxDepth), cel.ExpressionNodeLimit(maxNodes),
		cel.CrossTypeNumericComparisons(true), cel.RegexProgramSizeLimit(condition.MaxRegex),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(maxLoops)),
	}
	for _, v := range condition.Variables {
		options = append(options, cel.Variable(v.Name, v.Type))
	}
	return cel.NewEnv(options...)
})

// Check says what is wrong with an expression: that it does not compile, reads a variable that does not exist, comes to
// something else than true or false, or costs too much.
func Check(when string) error {
	_, err := Program(when)
	return err
}

// Program makes the form of an expression that package condition runs.
func Program(when string) ([]byte, error) {
	tree, err := compile(when)
	if err != nil {
		return nil, err
	}
	checked, err := ast.ToProto(tree)
	if err != nil {
		return nil, fmt.Errorf("write its program: %w", err)
	}
	// Places in the text and what macros looked like are for error messages only.
	checked.SourceInfo = &exprpb.SourceInfo{}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(checked)
	if err != nil {
		return nil, fmt.Errorf("write its program: %w", err)
	}
	if len(out) > condition.MaxProgram {
		return nil, fmt.Errorf("its program is longer than %d bytes", condition.MaxProgram)
	}
	return out, nil
}

// Policies returns policies with their programs, for the rules of a shim.
func Policies(from []policy.Policy) ([]policy.Policy, error) {
	out := make([]policy.Policy, len(from))
	for i, p := range from {
		if p.When != "" {
			var err error
			if p.Program, err = Program(p.When); err != nil {
				return nil, fmt.Errorf("policy %.60q: when: %w", p.Name, err)
			}
		}
		out[i] = p
	}
	return out, nil
}

func compile(when string) (tree *ast.AST, err error) {
	env, err := language()
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(when)
	if issues.Err() != nil {
		return nil, inWords(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(types.BoolType) {
		return nil, fmt.Errorf("comes to %s and must come to true or false: compare it with something", typeName(t))
	}
	if err := checkPatterns(checked.NativeRep().Expr()); err != nil {
		return nil, err
	}
	estimate, err := env.EstimateCost(checked, ordinary{})
	if err != nil {
		return nil, fmt.Errorf("estimate its cost: %w", err)
	}
	if estimate.Max > condition.MaxCost {
		return nil, fmt.Errorf("may cost %d with texts of %d bytes and lists of %d items; at most %d are possible",
			estimate.Max, ordinaryText, ordinaryList, condition.MaxCost)
	}
	return checked.NativeRep(), nil
}

// checkPatterns refuses patterns that are not written out: who calls must not choose what is compiled on each call.
func checkPatterns(e ast.Expr) (err error) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "matches" {
			return
		}
		if args := e.AsCall().Args(); args[len(args)-1].Kind() != ast.LiteralKind {
			err = errors.New("matches takes a pattern that is written out")
		}
	}))
	return err
}

func typeName(t *types.Type) string {
	if t.IsExactType(types.DynType) {
		return "whatever an argument holds"
	}
	return t.String()
}

// inWords makes one line of the first problems of an expression.
func inWords(issues *cel.Issues) error {
	var out []string
	for i, e := range issues.Errors() {
		if i == 3 {
			out = append(out, "and more")
			break
		}
		text := strings.Join(strings.Fields(e.Message), " ")
		text, _, _ = strings.Cut(text, " (in container")
		out = append(out, fmt.Sprintf("line %d, column %d: %.200s", e.Location.Line(), e.Location.Column()+1, text))
	}
	if len(out) == 0 {
		return errors.New("does not compile")
	}
	return errors.New(strings.ToValidUTF8(strings.Join(out, "; "), ""))
}

// ordinary is how large values are taken to be.
type ordinary struct{}

// EstimateSize implements cost.Estimator.
func (ordinary) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if n.ComputedSize() != nil {
		return nil
	}
	most := uint64(ordinaryText)
	switch n.Type().Kind() {
	case types.ListKind, types.MapKind:
		most = ordinaryList
	case types.DynKind, types.StringKind, types.BytesKind:
	default:
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

// EstimateCallCost implements cost.Estimator: calls cost what CEL says.
func (ordinary) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
