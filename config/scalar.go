package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const durationName = "google.protobuf.Duration"

// tagNames are what YAML makes of a value that isn't in quotes.
var tagNames = map[string]string{
	"!!int": "a number", "!!float": "a number", "!!bool": "a boolean",
	"!!timestamp": "a date", "!!null": "nothing", "!!merge": "a merge",
}

// expressions are the fields that hold CEL: any text, read by authz.
var expressions = map[protoreflect.FullName]bool{
	"credence.config.v1.Rule.require":                    true,
	"credence.config.v1.Rule.HeadersEntry.value":         true,
	"credence.config.v1.Rule.ResponseHeadersEntry.value": true,
	"credence.config.v1.Rule.MetadataEntry.value":        true,
	"credence.config.v1.Query.SetEntry.value":            true,
}

// scalar reads one value that has no fields of its own.
func (r *reader) scalar(field string, n *yaml.Node, fd protoreflect.FieldDescriptor) (v protoreflect.Value, ok bool) {
	if n.Kind != yaml.ScalarNode {
		r.refuse(field, n, "is %s; write one value", kindOf(n))
		return v, false
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		return r.str(field, n, fd)
	case protoreflect.BoolKind:
		return r.boolean(field, n)
	case protoreflect.Uint32Kind:
		return r.number(field, n, fd)
	case protoreflect.EnumKind:
		return r.enum(field, n, fd.Enum())
	case protoreflect.MessageKind:
		return r.duration(field, n)
	}
	panic("config: no way to read " + fd.FullName())
}

func (r *reader) str(field string, n *yaml.Node, fd protoreflect.FieldDescriptor) (v protoreflect.Value, ok bool) {
	s := n.Value
	free := fd.ContainingMessage().IsMapEntry() // somebody else's text, which may hold anything
	switch tag := n.ShortTag(); {
	case tag == "!!int" && fd.Name() == "address":
		r.refuse(field, n, `is a number; write an address such as "127.0.0.1:%s", or ":%[1]s" for every interface`, show(s))
	case tag != "!!str":
		r.refuse(field, n, "is %s to YAML; put it in quotes: %s", tagNames[tag], quote(s))
	case s == "":
		r.refuse(field, n, "is empty; write a value, or remove the line")
	case strings.Contains(s, "-----BEGIN "):
		r.refuse(field, n, "holds PEM text; write that to a file of its own and name the file in the field that is for it")
	case expressions[fd.FullName()]:
		return protoreflect.ValueOfString(s), true
	case strings.ContainsFunc(s, unicode.IsControl):
		r.refuse(field, n, "holds a line break or another control character; write one line")
	case !free && strings.TrimSpace(s) != s:
		r.refuse(field, n, "begins or ends with a space; remove it")
	case !free && strings.Contains(s, "${"):
		r.refuse(field, n, "holds ${, but variables aren't expanded; write the value itself")
	default:
		return protoreflect.ValueOfString(s), true
	}
	return v, false
}

func (r *reader) boolean(field string, n *yaml.Node) (v protoreflect.Value, ok bool) {
	if n.Style != 0 || n.Value != "true" && n.Value != "false" {
		r.refuse(field, n, "is %s; write true or false, without quotes", quote(n.Value))
		return v, false
	}
	return protoreflect.ValueOfBool(n.Value == "true"), true
}

// number reads a whole number. 0 is refused where the schema has no way to tell it
// from a field that was left out.
func (r *reader) number(field string, n *yaml.Node, fd protoreflect.FieldDescriptor) (v protoreflect.Value, ok bool) {
	s := n.Value
	digits := s != "" && strings.Trim(s, "0123456789") == "" && (s[0] != '0' || s == "0")
	u, err := strconv.ParseUint(s, 10, 32)
	switch {
	case digits && n.Style != 0:
		r.refuse(field, n, "is text; write the number without quotes: %s", show(s))
	case !digits:
		r.refuse(field, n, "is %s; write a whole number in digits, such as 64", quote(s))
	case err != nil:
		r.refuse(field, n, "is too large; the largest number is 4294967295")
	case u == 0 && !fd.HasPresence():
		r.refuse(field, n, "is 0; write a larger number, or remove the line for the default")
	default:
		return protoreflect.ValueOfUint32(uint32(u)), true
	}
	return v, false
}

// enum reads the name of a value in lower case and without the enum's prefix.
func (r *reader) enum(field string, n *yaml.Node, ed protoreflect.EnumDescriptor) (v protoreflect.Value, ok bool) {
	names := enumNames(ed)
	if i := slices.Index(names, n.Value); i >= 0 && n.ShortTag() == "!!str" {
		return protoreflect.ValueOfEnum(ed.Values().Get(i + 1).Number()), true
	}
	r.refuse(field, n, "is %s; write one of %s", quote(n.Value), strings.Join(names, ", "))
	return v, false
}

// enumNames are the names of an enum's values as the user writes them, without
// the first, which stands for a field that is left out.
func enumNames(ed protoreflect.EnumDescriptor) []string {
	prefix := strings.TrimSuffix(string(ed.Values().Get(0).Name()), "UNSPECIFIED")
	names := make([]string, ed.Values().Len()-1)
	for i := range names {
		names[i] = strings.ToLower(strings.TrimPrefix(string(ed.Values().Get(i+1).Name()), prefix))
	}
	return names
}

// duration reads a number with units. Days aren't a unit, because a day isn't
// always as long.
func (r *reader) duration(field string, n *yaml.Node) (v protoreflect.Value, ok bool) {
	s := n.Value
	d, err := time.ParseDuration(s)
	if err == nil && !strings.HasSuffix(s, "0") { // which takes 0 without a unit
		return protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect()), true
	}
	number := strings.TrimSuffix(s, "d")
	switch _, err := strconv.ParseUint(number, 10, 64); {
	case err != nil:
		r.refuse(field, n, `%s isn't a duration; write a number and a unit, such as "30s", "5m" or "1h30m"`, quote(s))
	case number == s:
		r.refuse(field, n, `%s has no unit; write "%ss"`, quote(s), number)
	default:
		r.refuse(field, n, `%s isn't a duration: a day isn't a unit; write hours, such as "24h"`, quote(s))
	}
	return v, false
}
