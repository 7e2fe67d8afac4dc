package authz

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/credence-authz/credence/oidc"
)

// Expressions are CEL (Common Expression Language), type-checked when the
// configuration is loaded. What they can read:
//
//	claims                       the token's claims; not on public rules
//	request.method, .scheme      as sent
//	request.host                 lower case, without port
//	request.path                 without query, escapes decoded once
//	request.query                without the question mark, as sent
//	request.headers              map, found in any case; lines of one name joined by commas
//	request.context_extensions   map, found in any case; the proxy's words about the route
//	request.time                 timestamp

// requestVariables are declared one by one, not as one map, so that a misspelt
// field is an error at load and a read costs no map.
var requestVariables = []cel.EnvOption{
	cel.Variable("request.method", cel.StringType),
	cel.Variable("request.scheme", cel.StringType),
	cel.Variable("request.host", cel.StringType),
	cel.Variable("request.path", cel.StringType),
	cel.Variable("request.query", cel.StringType),
	cel.Variable("request.headers", cel.MapType(cel.StringType, cel.StringType)),
	cel.Variable("request.context_extensions", cel.MapType(cel.StringType, cel.StringType)),
	cel.Variable("request.time", cel.TimestampType),
}

// maxCost bounds one evaluation, in CEL's units of roughly one comparison. Only
// expressions that loop can come near it: a token has up to some thousand claims,
// and two loops over them inside each other are a million steps.
const maxCost = 100_000

// claimCost is what a call costs that has arrays and objects of a token, or all
// headers, among its arguments. CEL takes one step for it, since it doesn't know
// these types, but an in or an == goes through all of them.
type claimCost struct{}

// CallCost is nil where CEL knows better.
func (claimCost) CallCost(_, _ string, args []ref.Val, _ ref.Val) *uint64 {
	const bytesInStep = 32
	length := 0
	for _, arg := range args {
		switch arg := arg.(type) {
		case *array:
			length += arg.value.FlatLen()
		case *object:
			length += arg.value.FlatLen()
		case lineMap:
			length += len(arg) * bytesInStep
		}
	}
	if length == 0 {
		return nil
	}
	return new(uint64(1 + length/bytesInStep))
}

// environment compiles the expressions of one kind of rule.
type environment struct {
	env    *cel.Env
	claims bool // they can be read
}

// newEnvironment makes an environment; claims are there only where there is a
// credential, so that reading them on a public rule is an error at load.
func newEnvironment(withClaims bool) (environment, error) {
	options := append([]cel.EnvOption{cel.CrossTypeNumericComparisons(true)}, requestVariables...)
	if withClaims {
		options = append(options, cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)))
	}
	env, err := cel.NewEnv(options...)
	return environment{env, withClaims}, err
}

// expression is a compiled one. It may be used by many requests at once.
type expression struct {
	text    string
	path    []string // a plain claim path, read without CEL; nil for anything else
	loops   bool     // has a comprehension (all, exists, map, …)
	program cel.Program

	headers    []string // request headers that it reads by name
	allHeaders bool     // it may read any
	steady     bool     // it reads nothing but claims
}

// compile checks an expression whose value may be of any of the kinds, or of a
// type that only the token decides.
func (e environment) compile(text string, kinds ...types.Kind) (*expression, error) {
	checked, issues := e.env.Compile(text)
	if issues.Err() != nil {
		var lines []string
		for _, i := range issues.Errors() {
			lines = append(lines, fmt.Sprintf("column %d: %s%s", i.Location.Column()+1, i.Message, e.meantName(text, i.Message)))
		}
		if meant := meantOperator(text); meant != "" {
			lines = append(lines, "did you mean "+meant+"?")
		}
		return nil, errors.New(strings.Join(lines, "; "))
	}
	if kind := checked.OutputType().Kind(); kind != types.DynKind {
		allowed := false
		for _, k := range kinds {
			allowed = allowed || kind == k
		}
		if !allowed {
			return nil, fmt.Errorf("its value is %s", checked.OutputType())
		}
	}
	root := checked.NativeRep().Expr()
	headers, all := headersOf(checked.NativeRep())
	x := &expression{headers: headers, allHeaders: all, text: text, path: claimPath(root), loops: loops(root), steady: readsOnlyClaims(checked.NativeRep())}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if x.loops {
		options = append(options, cel.CostLimit(maxCost), cel.CostTracking(claimCost{}))
	}
	var err error
	x.program, err = e.env.Program(checked, options...)
	return x, err
}

// claimPath is the names of an expression that does nothing but read a claim,
// such as claims.sub or claims["https://example.com/roles"].admin.
func claimPath(e ast.Expr) []string {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return nil
		}
		return extend(s.Operand(), s.FieldName())
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != "_[_]" || c.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
			return extend(c.Args()[0], string(name))
		}
	}
	return nil
}

func extend(operand ast.Expr, name string) []string {
	if operand.Kind() == ast.IdentKind && operand.AsIdent() == "claims" {
		return []string{name}
	}
	if path := claimPath(operand); path != nil {
		return append(path, name)
	}
	return nil
}

// readsOnlyClaims says whether an expression's value depends on the identity alone.
func readsOnlyClaims(checked *ast.AST) bool {
	for _, r := range checked.ReferenceMap() {
		if strings.HasPrefix(r.Name, "request.") {
			return false
		}
	}
	return true
}

// loops says whether an expression has a comprehension.
func loops(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.ComprehensionKind
	}))
	return found
}

// evaluate gives the expression's value; a missingClaimError says that a
// claim was read that the token doesn't have.
func (x *expression) evaluate(in *input) (ref.Val, error) {
	in.missing, in.loops = in.missing[:0], x.loops
	in.root, in.first = object{in: in, value: in.claims.Value}, array{}
	v, _, err := x.program.Eval(in)
	if err == nil {
		return v, nil
	}
	// CEL has no error type for it, so two signs have to agree: what CEL ended with,
	// and that an object of ours was asked for that member in vain. Others may have
	// been too, by has() or beside an ||.
	if name, ok := strings.CutPrefix(err.Error(), "no such key: "); ok && slices.Contains(in.missing, name) {
		if !strings.Contains(x.text, name) {
			name = "" // the request named it, and what a request says isn't written down
		}
		return nil, missingClaimError(name)
	}
	return nil, evaluationError(err)
}

// missingClaimError is the name of a claim that was read and isn't there; empty
// where the expression doesn't say it.
type missingClaimError string

func (e missingClaimError) Error() string {
	if e == "" {
		return "the token lacks a claim that the expression computes the name of"
	}
	return "the token has no claim " + strconv.QuoteToASCII(string(e))
}

// evaluationErrors are what evaluations end with, by a part of CEL's words for it.
var evaluationErrors = [...]struct {
	part string
	err  error
}{
	{"no such key", errors.New("it reads a member that isn't there")},
	{"no such overload", errors.New("it puts values together whose types don't go together")},
	{"no matching overload", errors.New("it puts values together whose types don't go together")},
	{"divi", errors.New("it divides by zero")},
	{"modulus by zero", errors.New("it divides by zero")},
	{"overflow", errors.New("a number is too large")},
	{"index", errors.New("it reads an element beyond the list")},
	{"cost limit", errors.New("it loops more often than it may")},
	{"conversion", errors.New("a value can't be converted")},
}

var errEvaluation = errors.New("it ended in an error")

// evaluationError says why an evaluation failed in words of our own: CEL's hold the
// values that it worked with, headers among them, and end in the log.
func evaluationError(err error) error {
	text := err.Error()
	for _, e := range evaluationErrors {
		if strings.Contains(text, e.part) {
			return e.err
		}
	}
	return errEvaluation
}

// headerText is the expression's value as the text of a header, ok being false where it
// has none: the claim is absent, or of a kind that no header can hold.
func (x *expression) headerText(in *input) (text string, ok bool, err error) {
	if x.path != nil {
		text, ok = claimText(&in.request.text, in.claims.Path(x.path...))
		return text, ok, nil
	}
	v, err := x.evaluate(in)
	if _, missing := errors.AsType[missingClaimError](err); missing {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	text, ok = valueText(v)
	return text, ok, nil
}

// queryText is headerText for a query parameter: a string is as it is, since the
// front percent-encodes the whole value anyway.
func (x *expression) queryText(in *input) (text string, ok bool, err error) {
	if x.path != nil {
		if text, ok = in.claims.Path(x.path...).Text(); ok {
			return text, text != "" && len(text) <= maxHeaderText, nil
		}
		return x.headerText(in)
	}
	v, err := x.evaluate(in)
	if s, isText := v.(types.String); isText && err == nil {
		return string(s), s != "" && len(s) <= maxHeaderText, nil
	}
	return x.headerText(in)
}

// input is what an expression can read.
type input struct {
	request *Request
	claims  oidc.Claims
	missing []string // names that objects of ours were asked for in vain
	root    object   // claims, for CEL
	first   array    // the first array that the expression reads: most read one
	loops   bool     // the expression that is evaluated may read a claim often
}

var _ interpreter.Activation = (*input)(nil)

// Parent is nil: there is one scope.
func (*input) Parent() interpreter.Activation { return nil }

// ResolveName gives a variable's value.
func (in *input) ResolveName(name string) (any, bool) {
	r := in.request
	switch name {
	case "claims":
		return &in.root, true
	case "request.method":
		return types.String(r.Method), true
	case "request.scheme":
		return types.String(r.Scheme), true
	case "request.host":
		return types.String(r.host), true
	case "request.path":
		return types.String(r.path), true
	case "request.query":
		return types.String(r.query), true
	case "request.headers":
		return lineMap(r.Headers), true
	case "request.context_extensions":
		return lineMap(r.ContextExtensions), true
	case "request.time":
		return types.Timestamp{Time: r.Time.UTC()}, true
	}
	return nil, false
}
