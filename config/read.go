package config

import (
	"fmt"
	"iter"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reader walks a tree of nodes along the schema and fills in the message. It
// goes on after an error: what can't be read is marked as broken, and a message
// or an entry that is broken leaves an empty one, so that indexes stay right.
type reader struct{ *report }

// refuse reports that the value at n can't be read.
func (r *reader) refuse(field string, n *yaml.Node, format string, args ...any) {
	r.refuseAt(field, n, format, args...)
	r.broken[field] = true
}

// refuseAt reports at the place of n; the field may be used all the same.
func (r *reader) refuseAt(field string, n *yaml.Node, format string, args ...any) {
	r.add(Problem{File: r.file.name, Line: n.Line, Column: n.Column, Field: field, Message: fmt.Sprintf(format, args...)})
}

// readable says whether n is something that the schema could have a place for,
// and reports why not.
func (r *reader) readable(field string, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.refuse(field, n, "is an alias (*name), which isn't supported; write the value out, in quotes if it begins with *")
	case n.Anchor != "":
		r.refuse(field, n, "has an anchor (&name), which isn't supported; remove it, or quote the value if it begins with &")
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(field, n, "has a tag (!name), which isn't supported; remove it, or quote the value if it begins with !")
	case isNull(n):
		r.refuse(field, n, "has no value; write one, or remove the line")
	default:
		return true
	}
	return false
}

// message reads a mapping from the names of fields to their values. field is the
// path to it, empty for the whole file.
func (r *reader) message(field string, n *yaml.Node, m protoreflect.Message) {
	if !r.readable(field, n) {
		return
	}
	address := m.Descriptor().Fields().ByName("address")
	if address != nil && n.Kind == yaml.ScalarNode { // a listener written as its address alone
		r.field(field, n, m, address)
		return
	}
	if n.Kind != yaml.MappingNode {
		r.refuse(field, n, "is %s; write fields below it, such as %s:", kindOf(n), m.Descriptor().Fields().Get(0).Name())
		return
	}
	for key, value := range r.entries(field, n) {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(key.Value))
		if fd == nil {
			r.unknown(field, key, m.Descriptor())
			continue
		}
		r.field(join(field, key.Value), value, m, fd)
	}
}

// field reads one field of m.
func (r *reader) field(field string, n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	if !r.readable(field, n) {
		if fd.Message() != nil && fd.Cardinality() != protoreflect.Repeated {
			m.Mutable(fd) // it was written, so what demands it is content
		}
		return
	}
	switch {
	case fd.IsMap():
		r.pairs(field, n, m.Mutable(fd).Map(), fd)
	case fd.IsList():
		r.list(field, n, m.Mutable(fd).List(), fd)
	case isMessage(fd):
		r.message(field, n, m.Mutable(fd).Message())
	default:
		if v, ok := r.scalar(field, n, fd); ok {
			m.Set(fd, v)
		}
	}
}

// list reads the entries of a repeated field.
func (r *reader) list(field string, n *yaml.Node, list protoreflect.List, fd protoreflect.FieldDescriptor) {
	switch {
	case n.Kind == yaml.MappingNode && isMessage(fd):
		r.refuse(field, n, `is a mapping; write a list: put "- " before the first field of each entry`)
		return
	case n.Kind == yaml.ScalarNode && !isMessage(fd):
		r.refuse(field, n, "is one value; write a list: [%s]", quoteEach(n.Value))
		return
	case n.Kind != yaml.SequenceNode:
		r.refuse(field, n, "is %s; write a list", kindOf(n))
		return
	case len(n.Content) == 0:
		r.refuse(field, n, "is an empty list; write what belongs into it, or remove the line")
		return
	case len(n.Content) > maxEntries(fd):
		r.refuse(field, n, "has too many entries; %d fit", maxEntries(fd))
		return
	}
	for i, entry := range n.Content {
		if r.full {
			return
		}
		at := fmt.Sprintf("%s[%d]", field, i)
		v := list.NewElement()
		if isMessage(fd) {
			r.message(at, entry, v.Message())
		} else if r.readable(at, entry) {
			if read, ok := r.scalar(at, entry, fd); ok {
				v = read
			}
		}
		list.Append(v)
	}
}

// pairs reads a map from strings to strings.
func (r *reader) pairs(field string, n *yaml.Node, pairs protoreflect.Map, fd protoreflect.FieldDescriptor) {
	if n.Kind != yaml.MappingNode {
		r.refuse(field, n, "is %s; write name: value below it", kindOf(n))
		return
	}
	if len(n.Content) == 0 {
		r.refuse(field, n, "is empty; write name: value below it, or remove the line")
		return
	}
	if len(n.Content)/2 > maxEntries(fd) {
		r.refuse(field, n, "has too many entries; %d fit", maxEntries(fd))
		return
	}
	for key, value := range r.entries(field, n) {
		at := fmt.Sprintf("%s[%q]", field, key.Value)
		if !r.readable(at, value) {
			continue
		}
		if v, ok := r.scalar(at, value, fd.MapValue()); ok {
			pairs.Set(protoreflect.ValueOfString(key.Value).MapKey(), v)
		}
	}
}

// entries are the keys of a mapping and their values, without the keys that
// can't be read and those that were there before.
func (r *reader) entries(field string, n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content) && !r.full; i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if !r.key(field, key) {
				continue
			}
			if line, ok := seen[key.Value]; ok {
				r.refuseAt(field, key, "%s is here twice, first in line %d; remove one", quote(key.Value), line)
				continue
			}
			seen[key.Value] = key.Line
			if !yield(key, value) {
				return
			}
		}
	}
}

// maxName is the most bytes of a key.
const maxName = 256

// key says whether a key of a mapping is plain text.
func (r *reader) key(field string, n *yaml.Node) bool {
	switch tag := n.ShortTag(); {
	case tag == "!!merge":
		r.refuseAt(field, n, "<< (merge) isn't supported; write the fields out")
	case n.Kind != yaml.ScalarNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0:
		r.refuseAt(field, n, "has a key that isn't plain text; write name: value")
	case tag != "!!str":
		r.refuseAt(field, n, "has a key that YAML reads as %s; put it in quotes: %s", tagNames[tag], quote(n.Value))
	case n.Value == "" || len(n.Value) > maxName:
		r.refuseAt(field, n, "has a name that is empty or longer than 256 bytes; write name: value")
	default:
		return true
	}
	return false
}

// unknown reports a field that the schema doesn't have. The value isn't looked
// at: it may be a secret.
func (r *reader) unknown(field string, key *yaml.Node, in protoreflect.MessageDescriptor) {
	known := fieldNames(in)
	at := join(field, show(key.Value))
	near := nearest(key.Value, known)
	parent, below := nearestBelow(key.Value, in)
	switch {
	case near != "":
		if meant := join(field, near); !r.file.wrote(meant) {
			r.broken[meant] = true
		}
		r.refuseAt(at, key, "unknown field; did you mean %s?", near)
	case soundsSecret(key.Value):
		r.refuseAt(at, key, "unknown field, and secrets don't stand in this file: they stand in files of their own, which fields such as key_file name")
	case below != "":
		r.broken[join(field, parent)] = true
		r.refuseAt(at, key, "unknown field; did you mean %s, below %s?", below, parent)
	default:
		r.refuseAt(at, key, "unknown field; those known here are %s", strings.Join(known, ", "))
	}
}

// nearestBelow is what nearest is, among the fields of those fields of a message that
// have fields of their own: somebody who forgot match, or who indented too little, wrote
// one of them. Where several parents have such a field, none is meant more than another.
func nearestBelow(name string, in protoreflect.MessageDescriptor) (parent, field string) {
	for i := range in.Fields().Len() {
		fd := in.Fields().Get(i)
		if !isMessage(fd) || fd.IsList() {
			continue
		}
		near := nearest(name, fieldNames(fd.Message()))
		switch {
		case near != "" && parent != "":
			return "", ""
		case near != "":
			parent, field = string(fd.Name()), near
		}
	}
	return parent, field
}

// isMessage says whether values of fd have fields of their own.
func isMessage(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsMap() && fd.Message().FullName() != durationName
}

func fieldNames(m protoreflect.MessageDescriptor) []string {
	names := make([]string, m.Fields().Len())
	for i := range names {
		names[i] = string(m.Fields().Get(i).Name())
	}
	return names
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "one value"
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}
