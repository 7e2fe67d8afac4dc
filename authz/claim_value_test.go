package authz

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/credence-authz/credence/audit"
)

// compiled is a rule that nothing is wrong with.
func compiled(t testing.TB, r Rule) *rule {
	t.Helper()
	rules, problems := compileRules(Options{Rules: []Rule{r}, Counters: audit.NewCounters()})
	if problems != nil {
		t.Fatal(problems)
	}
	return rules[0]
}

func TestMetadata(t *testing.T) {
	const claims = `{"sub":"alice","n":5,"f":0.5,"t":true,"z":null,"list":["a",1,[true],{"x":null}],"o":{"a":{"b":["c"]}},"e":[],"eo":{}}`
	rows := []struct {
		text string
		want any
	}{
		{`claims.sub`, "alice"},
		{`claims.n`, 5.0},
		{`uint(claims.n)`, 5.0},
		{`claims.f`, 0.5},
		{`claims.t`, true},
		{`claims.z`, nil},
		{`claims.list`, []any{"a", 1.0, []any{true}, map[string]any{"x": nil}}},
		{`claims.o`, map[string]any{"a": map[string]any{"b": []any{"c"}}}},
		{`claims.o.a`, map[string]any{"b": []any{"c"}}},
		{`claims.e`, []any{}},
		{`claims.eo`, map[string]any{}},
		{`[claims.sub, claims.o]`, []any{"alice", map[string]any{"a": map[string]any{"b": []any{"c"}}}}},
		{`{"who": claims.sub, "what": {"list": claims.e}}`, map[string]any{"who": "alice", "what": map[string]any{"list": []any{}}}},
		{`claims.list.filter(x, x == 1)`, []any{1.0}},
		{`request.headers`, map[string]any{"x": "1"}},
		{`request.method + " " + request.path`, "GET /"},
	}
	r := get("/", Header{"x", "1"})
	if refusal := r.normalise(); refusal != nil {
		t.Fatal(refusal)
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			var d Decision
			refusal := compiled(t, Rule{Metadata: map[string]string{"m": row.text}}).mutations(&d, &input{request: r, claims: claimsOf(t, claims)})
			if refusal != nil || !reflect.DeepEqual(d.Metadata, map[string]any{"m": row.want}) {
				t.Errorf("got %#v, %v, want %#v", d.Metadata, refusal, row.want)
			}
		})
	}
}

func TestMetadataThatCantBe(t *testing.T) {
	r := get("/", Header{"x", "\xff"}, Header{"\xff", "x"})
	rows := []struct{ text, want string }{
		{`claims.n / 0`, "it divides by zero"},
		{`dyn(request.time)`, "can't be metadata"},
		{`[request.time]`, "can't be metadata"},
		{`{"a": b"x"}`, "can't be metadata"},
		{`{1: "a"}`, "keys that aren't text"},
		{`request.headers["x"]`, "isn't UTF-8"},
		{`[request.headers["x"]]`, "isn't UTF-8"},
		{`request.headers`, "text"},
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			var d Decision
			refusal := compiled(t, Rule{Metadata: map[string]string{"m": row.text}}).mutations(&d, &input{request: r, claims: claimsOf(t, `{"n":1}`)})
			if refusal == nil || refusal.Reason != audit.RequirementFailed || !strings.Contains(refusal.Error(), "metadata m: ") || !strings.Contains(refusal.Error(), row.want) {
				t.Errorf("got %v, %v, want %q", d.Metadata, refusal, row.want)
			}
		})
	}
}

func TestAbsentClaims(t *testing.T) {
	r := compiled(t, Rule{
		Headers:         map[string]string{"x-a": "claims.a", "x-b": "claims.b", "x-c": "claims.c.d", "x-d": `"u:" + claims.a`, "x-e": `has(claims.a) ? claims.a : "none"`},
		ResponseHeaders: map[string]string{"x-a": "claims.a", "x-b": "claims.b"}, SetQuery: map[string]string{"a": "claims.a", "b": "claims.b"},
		Metadata: map[string]string{"a": "claims.a", "b": "claims.b"},
	})
	var d Decision
	if refusal := r.mutations(&d, &input{request: get("/"), claims: claimsOf(t, `{"b":"B"}`)}); refusal != nil {
		t.Fatal(refusal)
	}
	if want := []Header{{"x-b", "B"}, {"x-e", "none"}}; !slices.Equal(d.Set, want) {
		t.Errorf("set %q, want %q", d.Set, want)
	}
	if !slices.Equal(d.ResponseHeaders, []Header{{"x-b", "B"}}) || !slices.Equal(d.SetQuery, []Header{{"b", "B"}}) || !reflect.DeepEqual(d.Metadata, map[string]any{"b": "B"}) {
		t.Errorf("got %+v", d)
	}
}

// TestUntellableIdentityDenies: a header that can't be made isn't left out.
func TestUntellableIdentityDenies(t *testing.T) {
	for name, r := range map[string]Rule{
		"headers":          {Headers: map[string]string{"x-a": `claims.sub + 1`}},
		"response_headers": {ResponseHeaders: map[string]string{"x-a": `claims.sub + 1`}},
		"query.set":        {SetQuery: map[string]string{"x-a": `claims.sub + 1`}},
		"request":          {Headers: map[string]string{"x-a": `request.headers["absent"]`}},
	} {
		var d Decision
		refusal := compiled(t, r).mutations(&d, &input{request: get("/"), claims: claimsOf(t, `{"sub":"alice"}`)})
		if refusal == nil || refusal.Reason != audit.RequirementFailed || refusal.Detail != "x-a" {
			t.Errorf("%s: got %v", name, refusal)
		}
	}
}

// TestExpressionText: what isn't a plain claim is written as one would be.
func TestExpressionText(t *testing.T) {
	rows := []struct{ text, want string }{
		{`"Zo\u00eb" + "%"`, "Zo%C3%AB%25"},
		{`1 + 1`, "2"},
		{`uint(7)`, "7"},
		{`2.0 / 4.0`, "0.5"},
		{`1 == 1`, "true"},
		{`["a,b", "c"]`, "a%2Cb,c"},
		{`[1, 2u, 0.5, true, "x"]`, "1,2,0.5,true,x"},
		{`claims.groups.map(g, g + "!")`, "staff!,o%2Cps!"},
		{`claims.groups + ["x"]`, "staff,o%2Cps,x"},
		{`["", "a", ""]`, "a"},
		{`""`, ""},
		{`[]`, ""},
		{`[["a"]]`, ""},
		{`["a", {}]`, ""},
		{`["a", null]`, ""},
		{`[claims.o]`, ""},
		{`dyn({})`, ""},
		{`dyn(null)`, ""},
		{`dyn(request.time)`, ""},
	}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			x := compiled(t, Rule{Headers: map[string]string{"x": row.text}}).headers[0]
			got, ok, err := x.headerText(&input{request: get("/"), claims: claimsOf(t, `{"groups":["staff","o,ps"],"o":{}}`)})
			if err != nil || ok != (row.want != "") || got != row.want {
				t.Errorf("got %q, %t, %v, want %q", got, ok, err, row.want)
			}
		})
	}
}

func TestClaimPath(t *testing.T) {
	rows := []struct {
		text string
		want []string
	}{
		{`claims.sub`, []string{"sub"}},
		{`claims["sub"]`, []string{"sub"}},
		{`claims.realm_access.roles`, []string{"realm_access", "roles"}},
		{`claims["https://example.com/roles"].admin["x y"]`, []string{"https://example.com/roles", "admin", "x y"}},
		{`(claims).sub`, []string{"sub"}},
		{`claims`, nil},
		{`claims.sub + ""`, nil},
		{`claims.groups[0]`, nil},
		{`claims[claims.sub]`, nil},
		{`claims["a" + "b"]`, nil},
		{`has(claims.sub)`, nil},
		{`request.path`, nil},
		{`request.headers["claims"]`, nil},
		{`{"sub": "x"}.sub`, nil},
		{`claims.groups.map(claims, claims.sub)`, nil},
	}
	env, err := newEnvironment(true)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]types.Kind{types.MapKind}, textKinds...)
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			x, err := env.compile(row.text, all...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(x.path, row.want) {
				t.Errorf("got %q, want %q", x.path, row.want)
			}
		})
	}
}

// TestPlainPathIsTheExpression: reading a claim without CEL gives what CEL gives.
// Numbers are whole here: the plain path writes them as the token does.
func TestPlainPathIsTheExpression(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "c d", "https://example.com/x"}
	var generate func(depth int) any
	generate = func(depth int) any {
		switch n := random.IntN(9); {
		case n < 2 && depth < 3:
			m := map[string]any{}
			for range random.IntN(4) {
				m[names[random.IntN(len(names))]] = generate(depth + 1)
			}
			return m
		case n < 4 && depth < 4:
			list := []any{}
			for range random.IntN(4) {
				list = append(list, generate(depth+1))
			}
			return list
		case n == 4:
			return random.IntN(2000) - 1000
		case n == 5:
			return random.IntN(2) == 0
		case n == 6:
			return nil
		}
		return []string{"", "x", "a,b", " y ", "Zo\u00eb", "50%", "\r\n"}[random.IntN(7)]
	}
	var paths []namedExpression
	for _, a := range names {
		paths = append(paths, compiled(t, Rule{Headers: map[string]string{"x": "claims[" + strconv.Quote(a) + "]"}}).headers...)
		for _, b := range names {
			paths = append(paths, compiled(t, Rule{Headers: map[string]string{"x": "claims[" + strconv.Quote(a) + "][" + strconv.Quote(b) + "]"}}).headers...)
		}
	}
	for range 500 {
		text, err := json.Marshal(map[string]any{"a": generate(0), "b": generate(0), "c d": generate(0)})
		if err != nil {
			t.Fatal(err)
		}
		in := &input{request: get("/"), claims: claimsOf(t, string(text))}
		for _, x := range paths {
			if x.path == nil {
				t.Fatalf("%s isn't a plain path", x.text)
			}
			want, wanted, err := x.headerText(in)
			if err != nil {
				t.Fatal(err)
			}
			slow := *x.expression
			slow.path = nil
			got, ok, err := slow.headerText(in)
			// CEL finds it an error to look into what isn't an object. Then there is
			// no text either way.
			if err != nil && wanted || err == nil && (got != want || ok != wanted) {
				t.Fatalf("%s of %s: got %q, %t, want %q, %t (%v)", x.text, text, got, ok, want, wanted, err)
			}
		}
	}
}

// TestObjectIsACELMap and TestArrayIsACELList ask what CEL's own functions ask of
// any map or list.
func TestObjectIsACELMap(t *testing.T) {
	in := &input{claims: claimsOf(t, `{"a":1,"o":{"b":[2]}}`)}
	o := &object{in: in, value: in.claims.Value}
	if got := o.ConvertToType(types.MapType); got != o {
		t.Errorf("got %v", got)
	}
	if got := o.ConvertToType(types.TypeType); got != types.MapType {
		t.Errorf("got %v", got)
	}
	if got := o.ConvertToType(types.StringType); !types.IsError(got) {
		t.Errorf("got %v", got)
	}
	native, err := o.ConvertToNative(reflect.TypeFor[map[string]any]())
	if m, _ := native.(map[string]any); err != nil || len(m) != 2 {
		t.Errorf("got %v, %v", native, err)
	}
	if got := o.Get(types.String("x")); !types.IsError(got) || !strings.Contains(got.(*types.Err).Error(), "no such key: x") {
		t.Errorf("got %v", got)
	}
	if got := o.Get(types.Int(1)); !types.IsError(got) {
		t.Errorf("got %v", got)
	}
	if got := o.Get(types.String("a")); got != types.Int(1) {
		t.Errorf("got %v", got)
	}
	if o.Contains(types.Int(1)) != types.False || o.Contains(types.String("o")) != types.True {
		t.Error("Contains")
	}
	if got := o.Value(); !reflect.DeepEqual(got, map[string]any{"a": 1.0, "o": map[string]any{"b": []any{2.0}}}) {
		t.Errorf("got %v", got)
	}
	if o.Type() != types.MapType || o.Size() != types.Int(2) {
		t.Errorf("got %v of %v", o.Type(), o.Size())
	}
}

func TestArrayIsACELList(t *testing.T) {
	in := &input{claims: claimsOf(t, `{"a":["x",2,null,true,false,0.5,{"b":1}]}`)}
	a := in.celValue(in.claims.Lookup("a")).(*array)
	if a.Type() != types.ListType || a.Size() != types.Int(7) || a.Get(types.Int(1)) != types.Int(2) || a.Size() != types.Int(7) {
		t.Errorf("got %v of %v", a.Type(), a.Size())
	}
	if got := a.ConvertToType(types.TypeType); got != types.ListType {
		t.Errorf("got %v", got)
	}
	native, err := a.ConvertToNative(reflect.TypeFor[[]any]())
	if list, _ := native.([]any); err != nil || len(list) != 7 {
		t.Errorf("got %v, %v", native, err)
	}
	if got := a.Value(); !reflect.DeepEqual(got, []any{"x", 2.0, nil, true, false, 0.5, map[string]any{"b": 1.0}}) {
		t.Errorf("got %v", got)
	}
	for v, want := range map[any]types.Bool{types.String("x"): true, types.String("y"): false, types.Int(2): true, types.Double(2): true, types.Int(3): false, types.NullValue: true} {
		if got := a.Contains(types.DefaultTypeAdapter.NativeToValue(v)); got != want {
			t.Errorf("%v: got %v", v, got)
		}
	}
	for _, other := range []ref.Val{a, a.whole()} {
		if got := a.Add(other).(traits.Sizer).Size(); got != types.Int(14) {
			t.Errorf("got %v elements", got)
		}
	}
}
