package config

import (
	"io"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// maxFile is the most bytes that a configuration may have. 20,000 rules fit.
const maxFile = 4 << 20

// File is a configuration that was read and found good.
type File struct {
	// Config has every default filled in: Listen with check and probe, Cache,
	// Limits, Audit, Log and Realm; in each provider ClockSkew and Tokens and,
	// unless tokens are always asked about and nobody logs in there, Algorithms and
	// Keys, with its times unless keys come from a file; in each rule AmbiguousPaths
	// and UnauthenticatedStatus. Where there are clients, and nowhere else, there
	// are Listen.Login, Login and Session, and each client has every field but
	// Parameters and those that hold what it proves itself with. Match, Bearer, Query,
	// TLS and Introspection are nil where they are left out.
	Config *configv1.Config

	// Warnings are what may not be as meant, sorted by line.
	Warnings Problems

	name string
	root *yaml.Node // to find lines by; nil where there is no tree
}

// Load reads the file at path. The error is Problems, or that of opening or
// reading the file.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a configuration out of data; name is what problems call it. The
// error is always Problems.
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name, Config: &configv1.Config{}}
	r := newReport(f)
	f.root = parseYAML(r, data)
	if f.root == nil {
		return nil, r.err()
	}
	(&reader{r}).message("", f.root, f.Config.ProtoReflect())
	setDefaults(f.Config)
	if !r.full {
		checkConstraints(r, f.Config)
		(&checker{r, f.Config}).all()
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	f.Warnings = r.warnings
	f.Warnings.Sort()
	return f, nil
}

// Problem makes an error of something that was found wrong later with a field,
// written as rules[2].headers["x-user"].
func (f *File) Problem(field, message string) Problem {
	line, column := f.At(field)
	return Problem{File: f.name, Line: line, Column: column, Field: field, Message: message}
}

// At is where the value of a field stands, both from 1. A field that isn't
// written stands where the nearest one around it does.
func (f *File) At(field string) (line, column int) {
	n := f.root
	if n == nil {
		return 0, 0
	}
	for field != "" {
		var step string
		step, field = cutStep(field)
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n.Line, n.Column
}

// wrote says whether the file has the field.
func (f *File) wrote(field string) bool {
	n := f.root
	for field != "" && n != nil {
		var step string
		step, field = cutStep(field)
		n = child(n, step)
	}
	return n != nil
}

// cutStep takes the first step off a field's path: name, [2] or ["key"].
func cutStep(path string) (step, rest string) {
	path = strings.TrimPrefix(path, ".")
	if strings.HasPrefix(path, `["`) {
		if quoted, err := strconv.QuotedPrefix(path[1:]); err == nil {
			n := min(len(path), len("[")+len(quoted)+len("]"))
			return path[:n], path[n:]
		}
	}
	if i := strings.IndexAny(path[min(1, len(path)):], ".["); i >= 0 {
		return path[:i+1], path[i+1:]
	}
	return path, ""
}

// child is the node that one step leads to, or nil.
func child(n *yaml.Node, step string) *yaml.Node {
	inner, indexed := strings.CutPrefix(step, "[")
	inner = strings.TrimSuffix(inner, "]")
	if n.Kind == yaml.SequenceNode && indexed {
		if i, err := strconv.Atoi(inner); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	if key, err := strconv.Unquote(inner); err == nil && indexed {
		inner = key
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == inner {
			return n.Content[i+1]
		}
	}
	return nil
}
