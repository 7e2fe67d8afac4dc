package authz

import (
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/credence-authz/credence/oidc"
)

// object is a JSON object of a token as a CEL map, read in place: an expression
// converts only the members that it asks for.
type object struct {
	in    *input
	value oidc.Value

	// In a loop a member may be read in each round: arrays and objects among them
	// are kept as they are, with what they have converted.
	members map[string]ref.Val
	all     ref.Val // nil before whole
}

var _ traits.Mapper = (*object)(nil)

// celValue converts a claim: an integer that fits becomes an int, any other number
// a double, an array a list.
func (in *input) celValue(v oidc.Value) ref.Val {
	switch v.Kind() {
	case oidc.KindString:
		s, _ := v.Text()
		return types.String(s)
	case oidc.KindNumber:
		if i, ok := v.Int(); ok {
			return types.Int(i)
		}
		f, _ := v.Float()
		return types.Double(f)
	case oidc.KindTrue:
		return types.True
	case oidc.KindFalse:
		return types.False
	case oidc.KindArray:
		a := &in.first
		if a.in != nil {
			a = new(array)
		}
		*a = array{in: in, value: v}
		return a
	case oidc.KindObject:
		return &object{in: in, value: v}
	default:
		return types.NullValue
	}
}

// Find is the member of that name; a name that isn't a string finds none.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	if member, ok := o.members[string(name)]; ok {
		return member, true
	}
	v := o.value.Lookup(string(name))
	if !v.Exists() {
		o.in.missing = append(o.in.missing, string(name))
		return nil, false
	}
	member := o.in.celValue(v)
	if k := v.Kind(); o.in.loops && (k == oidc.KindArray || k == oidc.KindObject) {
		if o.members == nil {
			o.members = map[string]ref.Val{}
		}
		o.members[string(name)] = member
	}
	return member, true
}

// Get is Find as an index operation.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	switch {
	case found:
		return v
	case v != nil:
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains says whether there is a member of that name.
func (o *object) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	return types.Bool(ok && o.value.Lookup(string(name)).Exists())
}

// Size is the number of members.
func (o *object) Size() ref.Val { return types.Int(o.value.Len()) }

// Iterator goes over the members' names in the order of the token, so that what
// an expression makes of them is the same each time.
func (o *object) Iterator() traits.Iterator {
	var names []string
	for name := range o.value.Members() {
		names = append(names, name)
	}
	return types.NewStringList(types.DefaultTypeAdapter, names).Iterator()
}

// Equal compares with any other map.
func (o *object) Equal(other ref.Val) ref.Val {
	if other, same := other.(*object); same {
		return o.whole().Equal(other.whole())
	}
	return o.whole().Equal(other)
}

// ConvertToNative converts the whole object.
func (o *object) ConvertToNative(t reflect.Type) (any, error) { return o.whole().ConvertToNative(t) }

// ConvertToType knows map and type.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("type conversion error from 'map' to '%s'", t)
}

// Type is CEL's map.
func (o *object) Type() ref.Type { return types.MapType }

// Value is the object as Go values.
func (o *object) Value() any { return goValue(o.value) }

// whole is the object as a CEL map of its own, for what reads all of it.
func (o *object) whole() ref.Val {
	if o.all != nil {
		return o.all
	}
	m := make(map[ref.Val]ref.Val, o.value.Len())
	for name, v := range o.value.Members() {
		if v.Kind() == oidc.KindObject {
			m[types.String(name)] = (&object{in: o.in, value: v}).whole()
			continue
		}
		m[types.String(name)] = o.in.celValue(v)
	}
	o.all = types.NewRefValMap(types.DefaultTypeAdapter, m)
	return o.all
}

// goValue converts a claim to the types of encoding/json, numbers being float64.
func goValue(v oidc.Value) any {
	switch v.Kind() {
	case oidc.KindString:
		s, _ := v.Text()
		return s
	case oidc.KindNumber:
		f, _ := v.Float()
		return f
	case oidc.KindTrue, oidc.KindFalse:
		b, _ := v.Bool()
		return b
	case oidc.KindArray:
		list := []any{}
		for e := range v.Elements() {
			list = append(list, goValue(e))
		}
		return list
	case oidc.KindObject:
		m := map[string]any{}
		for name, member := range v.Members() {
			m[name] = goValue(member)
		}
		return m
	default:
		return nil
	}
}

// metadataValue converts an expression's value to JSON-like Go types.
func metadataValue(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.String:
		// A claim always is, but a header may hold anything.
		if !utf8.ValidString(string(v)) {
			return nil, errors.New("text that isn't UTF-8 can't be metadata")
		}
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return float64(v), nil
	case types.Uint:
		return float64(v), nil
	case types.Double:
		return float64(v), nil
	case types.Null:
		return nil, nil
	case *object:
		return v.Value(), nil
	case traits.Lister:
		list := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			e, err := metadataValue(it.Next())
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return list, nil
	case traits.Mapper:
		m := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, isText := key.(types.String)
			if !isText || !utf8.ValidString(string(name)) {
				return nil, errors.New("a map with keys that aren't text can't be metadata")
			}
			member, err := metadataValue(v.Get(name))
			if err != nil {
				return nil, err
			}
			m[string(name)] = member
		}
		return m, nil
	}
	return nil, fmt.Errorf("a value of type %s can't be metadata", v.Type().TypeName())
}
