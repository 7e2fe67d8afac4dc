package authz

import (
	"reflect"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/credence-authz/credence/audit"
)

func TestHeadersInExpressions(t *testing.T) {
	rows := []struct {
		text string
		want audit.Reason
	}{
		{`request.headers["x-one"] == "1" && request.headers["X-One"] == "1"`, audit.Allowed},
		{`request.headers["x-two"] == "1,2,3"`, audit.Allowed},
		{`"X-Two" in request.headers && !("x-three" in request.headers)`, audit.Allowed},
		{`request.headers["x-three"] == ""`, audit.RequirementFailed},
		{`has(request.headers.accept) && request.headers.accept == "*/*" && !has(request.headers.cookie)`, audit.Allowed},
		{`size(request.headers) == 3`, audit.Allowed},
		{`request.headers == {"x-one": "1", "x-two": "1,2,3", "accept": "*/*"}`, audit.Allowed},
		{`{"x-one": "1", "x-two": "1,2,3", "accept": "*/*"} == request.headers`, audit.Allowed},
		{`request.headers == request.headers && request.headers != request.context_extensions`, audit.Allowed},
		{`request.headers.exists(k, k == "x-one" && request.headers[k] == "1")`, audit.Allowed},
		{`request.context_extensions["Policy"] == "orders"`, audit.Allowed},
		{`type(request.headers) == map`, audit.Allowed},
		{`request.headers in [request.headers]`, audit.Allowed},
		{`dyn(request.headers) == 1`, audit.RequirementFalse},
		{`dyn(request.headers)[1] == 1`, audit.RequirementFailed},
		{`{dyn(request.headers): 1} == {}`, audit.RequirementFailed},
	}
	r := get("/", Header{"x-one", "1"}, Header{"x-two", "1"}, Header{"accept", "*/*"}, Header{"x-two", "2"}, Header{"x-two", "3"})
	r.ContextExtensions = []Header{{"policy", "orders"}}
	for _, row := range rows {
		t.Run(row.text, func(t *testing.T) {
			got, refusal := audit.Allowed, required(t, row.text, `{}`, r)
			if refusal != nil {
				got = refusal.Reason
			}
			if got != row.want {
				t.Errorf("got %v, want %v", refusal, row.want)
			}
		})
	}
}

func TestLineMapIsACELMap(t *testing.T) {
	m := lineMap{{"a", "1"}, {"b", "2"}, {"A", "3"}}
	if got := m.Get(types.String("x")); !types.IsError(got) {
		t.Errorf("got %v", got)
	}
	if got := m.Get(types.String("a")); got != types.String("1,3") {
		t.Errorf("got %v", got)
	}
	if got := m.Get(types.Int(1)); !types.IsError(got) {
		t.Errorf("got %v", got)
	}
	if m.Contains(types.String("B")) != types.True || m.Contains(types.Int(1)) != types.False {
		t.Error("Contains")
	}
	if m.Type() != types.MapType || m.Size() != types.Int(2) {
		t.Errorf("got %v of %v", m.Type(), m.Size())
	}
	want := map[string]string{"a": "1,3", "b": "2"}
	if got := m.Value(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	native, err := m.ConvertToNative(reflect.TypeFor[map[string]string]())
	if err != nil || !reflect.DeepEqual(native, want) {
		t.Errorf("got %v, %v", native, err)
	}
	if got := m.ConvertToType(types.TypeType); got != types.MapType {
		t.Errorf("got %v", got)
	}
	for _, other := range []ref.Val{m, m.whole()} {
		if got := m.Equal(other); got != types.True {
			t.Errorf("got %v", got)
		}
	}
}
