package authz

import (
	"reflect"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// lineMap is header lines as a CEL map, read in place. Lines of one name are joined
// by commas (RFC 9110, 5.2), and a name is found in any case (5.1): a policy that
// asks for X-Blocked must not miss x-blocked.
type lineMap []Header

var _ traits.Mapper = lineMap(nil)

// Find is the value of that name.
func (m lineMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	folded, value, found := lower(string(name)), "", false
	for i := range m {
		switch {
		case !equalFold(m[i].Name, folded):
		case found:
			value += "," + m[i].Value
		default:
			value, found = m[i].Value, true
		}
	}
	if !found {
		return nil, false
	}
	return types.String(value), true
}

// Get is Find as an index operation.
func (m lineMap) Get(key ref.Val) ref.Val {
	v, found := m.Find(key)
	if !found && v == nil {
		return types.NewErr("no such key: %v", key)
	}
	return v
}

// Contains says whether there is a line of that name.
func (m lineMap) Contains(key ref.Val) ref.Val {
	_, found := m.Find(key)
	return types.Bool(found)
}

// Size is the number of names.
func (m lineMap) Size() ref.Val { return m.whole().Size() }

// Iterator goes over the names.
func (m lineMap) Iterator() traits.Iterator { return m.whole().Iterator() }

// Equal compares with any other map.
func (m lineMap) Equal(other ref.Val) ref.Val {
	if lines, same := other.(lineMap); same {
		return m.whole().Equal(lines.whole())
	}
	return m.whole().Equal(other)
}

// ConvertToNative converts all lines.
func (m lineMap) ConvertToNative(t reflect.Type) (any, error) { return m.whole().ConvertToNative(t) }

// ConvertToType knows map and type.
func (m lineMap) ConvertToType(t ref.Type) ref.Val { return m.whole().ConvertToType(t) }

// Type is CEL's map.
func (m lineMap) Type() ref.Type { return types.MapType }

// Value is the lines as a Go map.
func (m lineMap) Value() any { return m.joined() }

// whole is the lines as a CEL map of its own, for what reads all of them.
func (m lineMap) whole() traits.Mapper {
	return types.NewStringStringMap(types.DefaultTypeAdapter, m.joined())
}

func (m lineMap) joined() map[string]string {
	all := make(map[string]string, len(m))
	for _, h := range m {
		name := lower(h.Name)
		if before, repeated := all[name]; repeated {
			all[name] = strings.Join([]string{before, h.Value}, ",")
		} else {
			all[name] = h.Value
		}
	}
	return all
}
