package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a [Problem] keeps the file from being used.
type Severity uint8

const (
	Error   Severity = iota // the file is refused
	Warning                 // the file works, but maybe not as meant
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText is String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File     string   `json:"file"`             // as it was named to Load or Parse
	Line     int      `json:"line,omitempty"`   // from 1; 0 where it is about the whole file
	Column   int      `json:"column,omitempty"` // from 1, in characters; 0 where Line is
	Field    string   `json:"field,omitempty"`  // such as rules[2].match.hosts[0]; empty where it is about no field
	Message  string   `json:"message"`          // what is wrong and what to write; never a secret
	Severity Severity `json:"severity"`
}

// String is the problem in one line, as editors and CI systems read it:
// file:line:column, the word "warning" if it is one, field, message.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Severity == Warning {
		b.WriteString(": warning")
	}
	if p.Field != "" {
		b.WriteString(": " + p.Field)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

var _ error = Problems(nil)

// Problems are sorted by line. They are an error when they come as one.
type Problems []Problem

// Error has a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Sort puts the problems into the file's order.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
