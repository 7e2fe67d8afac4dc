// Package config turns one YAML or JSON file into a checked message.
//
// [Load] and [Parse] either give a [File] whose Config is complete and
// consistent, or [Problems]: every fault that was found, each with its line and
// column, the field as the user writes it, what is wrong, and what to write
// instead. The schema, and its manual, is proto/credence/config/v1.
//
// The way of a file:
//
//  1. The YAML parser gives a tree of nodes that know their lines (yaml.go).
//     JSON is read by the same parser.
//  2. The tree is walked along the schema's descriptors (read.go, scalar.go).
//     This is stricter than YAML: a field that the schema doesn't know, a field
//     written twice, an anchor, a tag, a number where a string is due, an empty
//     list and a field without a value are all errors. What YAML would guess, or
//     a template would leave empty, is refused: an empty list of hosts would mean
//     every host.
//  3. Defaults are filled in (defaults.go).
//  4. The rules that stand in the schema are applied by protovalidate, and told
//     in our words (constraint.go).
//  5. What a schema can't say is checked by noun (check_*.go).
//  6. What takes all rules together (a rule that can never match, a way around
//     another rule) is checked last, and only where nothing else is wrong.
//
// A value that couldn't be read is reported once: what would follow from it
// isn't. At most a hundred problems are collected.
//
// Expressions (CEL) are read as text; authz compiles them. What it finds is
// turned into a Problem with its line by [File.Problem].
//
// Values of unknown fields never stand in a message, nor does anything that
// looks like a key or a password, because messages end up in logs.
//
// Nothing outside the file is looked at: no environment variable is expanded and
// no file that the configuration names is opened.
package config
