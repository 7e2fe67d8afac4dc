package authz

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/credence-authz/credence/audit"
)

// HeadersRead are the request headers that an [Engine] looks at. A proxy that
// sends no others saves the most expensive part of asking.
type HeadersRead struct {
	// All says that an expression reads headers by names that only a request
	// decides, so none may be left out; or that a name has no [HeadersRead.Endings].
	All bool

	// AllBy is the name of the first rule with such an expression.
	AllBy string

	// Names are read by this name.
	Names []string

	// Identity are those that rules set for the application. They are looked for in
	// every spelling that folds to the same, to be removed.
	Identity []string
}

// HeadersExtension is the context extension in which a proxy that doesn't send
// every header says which it does: what [HeadersRead.String] gives. An engine that
// reads others can't decide: to it, a header that isn't sent would be one that the
// client didn't send.
const HeadersExtension = "credence.headers"

// engineHeaders are read whatever the rules say: the credential, what tells a gRPC
// caller, and what finds the proxy's own log line.
var engineHeaders = [...]string{"authorization", "content-type", "x-request-id"}

// ReadHeaders says what an engine with these options reads, or gives every
// [*RuleError].
func ReadHeaders(o Options) (HeadersRead, error) {
	o.Counters = audit.NewCounters()
	compiled, problems := compileRules(o)
	if len(problems) > 0 {
		return HeadersRead{}, errors.Join(problems...)
	}
	return readHeaders(compiled, &o), nil
}

func readHeaders(rules []*rule, o *Options) HeadersRead {
	h := HeadersRead{Names: slices.Clone(engineHeaders[:])}
	if o.DPoP != nil {
		h.Names = append(h.Names, "dpop")
	}
	if o.TrustedHops > 0 {
		h.Names = append(h.Names, "x-forwarded-for")
	}
	if len(o.Clients) > 0 {
		h.Names = append(h.Names, "cookie") // to cut ours out, on every rule
	}
	for _, r := range rules {
		if r.login != nil {
			h.Names = append(h.Names, navigationHeaders[:]...)
		}
		for _, c := range r.match.headers {
			h.Names = append(h.Names, lower(c.Name))
		}
		for _, x := range r.headers {
			h.Identity = append(h.Identity, x.name)
			h.All = h.All || ending(x.name) == ""
		}
		for x := range r.expressions() {
			h.Names = append(h.Names, x.headers...)
			if x.allHeaders && h.AllBy == "" {
				h.All, h.AllBy = true, r.Name
			}
		}
	}
	for _, list := range [...]*[]string{&h.Names, &h.Identity} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return h
}

// String is the names of those read, a slash, and of those set, as the value of
// [HeadersExtension].
func (h HeadersRead) String() string {
	return strings.Join(h.Names, " ") + " / " + strings.Join(h.Identity, " ")
}

// Endings are the last words of the identity headers: whatever an application could take
// for one of those ends in one. Looking for them costs a proxy next to nothing, where
// regular expressions of whole names, tried on each header, took a twentieth of what
// asking costs it. Headers that happen to end alike are sent for nothing.
func (h HeadersRead) Endings() []string {
	var list []string
	for _, name := range h.Identity {
		list = append(list, ending(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// missing names the first header that is read and that a proxy with this list of
// another HeadersRead doesn't send; empty if there is none.
func (h HeadersRead) missing(sent string) string {
	if h.All {
		return "any that a request names"
	}
	names, identity, _ := strings.Cut(sent, "/")
	for _, list := range [...]struct {
		read []string
		sent string
	}{{h.Names, names}, {h.Identity, identity}} {
		sent := strings.Fields(list.sent)
		for _, name := range list.read {
			if !slices.Contains(sent, name) {
				return name
			}
		}
	}
	return ""
}

// headerGuard refuses requests of a proxy that doesn't send what is read.
type headerGuard struct {
	reads HeadersRead
	good  atomic.Pointer[string] // the list that was found to be enough last
}

func (g *headerGuard) judge(r *Request) *audit.Refusal {
	for i := range r.ContextExtensions {
		if r.ContextExtensions[i].Name != HeadersExtension {
			continue
		}
		sent := r.ContextExtensions[i].Value
		if good := g.good.Load(); good != nil && *good == sent {
			return nil
		}
		if name := g.reads.missing(sent); name != "" {
			return refuse(audit.HeadersNotSent, "the rules read "+name)
		}
		g.good.Store(new(strings.Clone(sent)))
	}
	return nil
}

// headersOf are the headers that an expression reads: request.headers["x"] and
// "x" in request.headers name one, anything else may read any.
func headersOf(checked *ast.AST) (names []string, all bool) {
	isHeaders := func(e ast.Expr) bool {
		r, ok := checked.ReferenceMap()[e.ID()]
		return ok && r.Name == "request.headers"
	}
	used := 0
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
			names = append(names, lower(string(name)))
		}
	}))
	return names, used > len(names)
}

func literal(e ast.Expr) ref.Val {
	if e.Kind() != ast.LiteralKind {
		return nil
	}
	return e.AsLiteral()
}
