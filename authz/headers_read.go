package authz

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// HeadersRead are the request headers that an [Engine] looks at. A proxy that
// sends no others saves the most expensive part of asking.
type HeadersRead struct {
	// All says that an expression reads headers by names that only a request
	// decides, so none may be left out.
	All bool

	// Names are read by this name.
	Names []string

	// Identity are those that rules set for the application. They are looked for in
	// every spelling that folds to the same, to be removed.
	Identity []string
}

// engineHeaders are read whatever the rules say: the credential, what tells a gRPC
// caller, and what finds the proxy's own log line.
var engineHeaders = [...]string{"authorization", "content-type", "x-request-id"}

// ReadHeaders says what an engine with these rules reads, which New would accept.
func ReadHeaders(rules []Rule) (HeadersRead, error) {
	h := HeadersRead{Names: slices.Clone(engineHeaders[:])}
	for _, public := range [...]bool{false, true} {
		env, err := newEnvironment(!public)
		if err != nil {
			return h, err
		}
		for _, r := range rules {
			for name := range r.Headers {
				h.Identity = append(h.Identity, lower(name))
			}
			for name := range r.Match.Headers {
				h.Names = append(h.Names, lower(name))
			}
			if r.Public != public {
				continue
			}
			texts := []string{r.Require}
			for _, m := range [...]map[string]string{r.Headers, r.ResponseHeaders, r.SetQuery, r.Metadata} {
				for _, text := range m {
					texts = append(texts, text)
				}
			}
			for _, text := range texts {
				if text == "" {
					continue
				}
				checked, issues := env.env.Compile(text)
				if issues.Err() != nil {
					return h, issues.Err()
				}
				h.visit(checked.NativeRep())
			}
		}
	}
	for _, list := range [...]*[]string{&h.Names, &h.Identity} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return h, nil
}

// visit notes the headers that an expression reads: request.headers["x"] and
// "x" in request.headers name one, anything else may read any.
func (h *HeadersRead) visit(checked *ast.AST) {
	isHeaders := func(e ast.Expr) bool {
		r, ok := checked.ReferenceMap()[e.ID()]
		return ok && r.Name == "request.headers"
	}
	named, used := 0, 0
	ast.PreOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if isHeaders(e) {
			used++
		}
		if e.Kind() != ast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		args := e.AsCall().Args()
		var key ast.Expr
		switch {
		case e.AsCall().FunctionName() == "_[_]" && isHeaders(args[0]):
			key = args[1]
		case e.AsCall().FunctionName() == "@in" && isHeaders(args[1]):
			key = args[0]
		default:
			return
		}
		if name, ok := literal(key).(types.String); ok {
			h.Names = append(h.Names, lower(string(name)))
			named++
		}
	}))
	h.All = h.All || used > named
}

func literal(e ast.Expr) ref.Val {
	if e.Kind() != ast.LiteralKind {
		return nil
	}
	return e.AsLiteral()
}
