package authz

import (
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/credence-authz/credence/oidc"
)

// array is a JSON array of a token as a CEL list. What nearly every policy asks of
// one, whether it holds a string, is answered in place; for anything else it is
// converted, once.
type array struct {
	in    *input
	value oidc.Value
	list  traits.Lister // nil before whole
}

var _ traits.Lister = (*array)(nil)

// whole is the array as a CEL list of its own.
func (a *array) whole() traits.Lister {
	if a.list == nil {
		var list []ref.Val
		for e := range a.value.Elements() {
			list = append(list, a.in.celValue(e))
		}
		a.list = types.NewRefValList(types.DefaultTypeAdapter, list)
	}
	return a.list
}

// Contains says whether an element equals v.
func (a *array) Contains(v ref.Val) ref.Val {
	if text, ok := v.(types.String); ok {
		return types.Bool(a.value.Has(string(text)))
	}
	return a.whole().Contains(v)
}

// Size is the number of elements.
func (a *array) Size() ref.Val {
	if a.list != nil {
		return a.list.Size()
	}
	return types.Int(a.value.Len())
}

// Add joins two lists.
func (a *array) Add(other ref.Val) ref.Val {
	if other, same := other.(*array); same {
		return a.whole().Add(other.whole())
	}
	return a.whole().Add(other)
}

// Get is the element at an index.
func (a *array) Get(index ref.Val) ref.Val { return a.whole().Get(index) }

// Iterator goes over the elements.
func (a *array) Iterator() traits.Iterator { return a.whole().Iterator() }

// Equal compares with any other list.
func (a *array) Equal(other ref.Val) ref.Val { return a.whole().Equal(other) }

// ConvertToNative converts the whole array.
func (a *array) ConvertToNative(t reflect.Type) (any, error) { return a.whole().ConvertToNative(t) }

// ConvertToType knows list and type.
func (a *array) ConvertToType(t ref.Type) ref.Val { return a.whole().ConvertToType(t) }

// Type is CEL's list.
func (a *array) Type() ref.Type { return types.ListType }

// Value is the array as Go values.
func (a *array) Value() any { return goValue(a.value) }
