package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxIndicators bounds the tree that the parser builds: at least one of these
// bytes stands before each of its nodes, and a node costs some 300 bytes.
const (
	indicators    = ",:?[{\n"
	maxIndicators = 750_000
)

// parseYAML gives the node that holds the configuration's fields, or nil where
// there is none and r says why. Aliases stay references, so a file can't grow by
// being read.
func parseYAML(r *report, data []byte) *yaml.Node {
	if len(data) > maxFile {
		r.add(r.file.problemAt(0, 0, "is larger than 4 MiB; a configuration isn't"))
		return nil
	}
	if bad := firstInvalid(data); bad >= 0 {
		line, column := place(data, bad)
		r.add(r.file.problemAt(line, column, "isn't UTF-8; save the file as UTF-8"))
		return nil
	}
	if countIndicators(data) > maxIndicators {
		r.add(r.file.problemAt(0, 0, "holds too many values; a configuration of 20,000 rules holds fewer"))
		return nil
	}
	source := &lineReader{rest: slices.Concat(plainJSON(data), []byte("\n"))} // the end then has a line of its own
	decoder := yaml.NewDecoder(source)
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && isNull(document.Content[0]):
		r.add(r.file.problemAt(1, 1, "the file is empty; write at least one rule, below rules:"))
		return nil
	case err != nil:
		r.add(syntaxProblem(r.file, err, data, source.line))
		return nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		r.add(r.file.problemAt(root.Line, root.Column, "isn't a configuration; write fields such as rules: at its top"))
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		r.add(r.file.problemAt(second.Line, second.Column, "a second document begins here; write one document and remove the ---"))
	} else if !errors.Is(err, io.EOF) {
		r.add(syntaxProblem(r.file, err, data, source.line))
	}
	return root
}

func (f *File) problemAt(line, column int, message string) Problem {
	return Problem{File: f.name, Line: line, Column: column, Message: message}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func countIndicators(data []byte) int {
	count := bytes.Count(data, []byte("- ")) // entries of lists may share a line
	for i := range indicators {
		count += bytes.Count(data, []byte(indicators[i:i+1]))
	}
	return count
}

// firstInvalid is where data stops being UTF-8, or -1.
func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// place is the line and column of an offset, both from 1.
func place(data []byte, offset int) (line, column int) {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// lineReader gives a line at a time and counts them: where the parser stops, the
// line it has come to is the best that is known of the place.
type lineReader struct {
	rest []byte
	line int  // the last line that was given, from 1
	part bool // of which some is still to be given
}

func (s *lineReader) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	if !s.part {
		s.line++
	}
	n := bytes.IndexByte(s.rest, '\n') + 1
	s.part = n == 0 || n > len(p)
	if n == 0 {
		n = len(s.rest)
	}
	n = copy(p, s.rest[:n])
	s.rest = s.rest[n:]
	return n, nil
}

var yamlError = regexp.MustCompile(`(?s)^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// textAfterQuote is a field's value that goes on after the quotes that it begins with.
var textAfterQuote = regexp.MustCompile(`^[ -]*[\w.-]+: +("[^"]*"|'[^']*') *[^\s,#}\]:]`)

// syntaxAdvice says what to do about a message of the parser, found by a part of
// it. fromZero: the line in that message is counted from 0.
//
// Where line is set, the line that the parser had come to, or the one above, has to look
// so, and is the place.
var syntaxAdvice = []struct {
	part     string
	fromZero bool
	line     *regexp.Regexp
	advice   string
}{
	{"did not find expected", false, textAfterQuote, `a value that begins with a quote ends with it; put all of it in other quotes, such as '"staff" in claims.groups'`},
	{"cannot start any token", false, regexp.MustCompile(`^ *\t`), "a tab can't indent; use spaces"},
	{"did not find expected ','", true, nil, `a bracket that opens here or above isn't closed, or a comma is missing in it`},
	{"found unexpected end of stream", false, nil, `the quote that opens here isn't closed`},
	{"tab character", false, nil, `a tab indents this line or the next; use spaces`},
	{"cannot start any token", false, nil, "a value that begins with @, ` or % needs quotes"},
	{"mapping values are not allowed", false, nil, `check the indentation, and put a value that has ": " in it in quotes`},
	{"could not find expected ':'", false, nil, `a field is written "name: value"`},
	{"unknown escape", false, nil, `write \\ for a backslash, or use single quotes`},
	{"control characters", false, nil, `there is a control character at or just above this line; remove it`},
	{"alphabetic or numeric character", false, nil, `a value that begins with * or & needs quotes, such as "*.example.com"`},
	{"unknown anchor", false, nil, `an alias (*name) isn't supported; write the value out, in quotes if it begins with *`},
	{"exceeded max depth", false, nil, `this is nested too deeply`},
	{"", false, nil, `check indentation, brackets and quotes at and just above this line`},
}

// syntaxProblem is what the parser found, in our words. It had read up to the
// line reached, which is where the fault is, or one line below it, unless its
// message knows better.
func syntaxProblem(f *File, err error, source []byte, reached int) Problem {
	parts := yamlError.FindStringSubmatch(err.Error())
	line, message := max(reached, 1), parts[2]
	for _, a := range syntaxAdvice {
		if !strings.Contains(message, a.part) {
			continue
		}
		if a.line != nil {
			at := lastLike(a.line, source, reached)
			if at == 0 {
				continue
			}
			line, message = at, a.advice
			break
		}
		if told, err := strconv.Atoi(parts[1]); err == nil && a.part != "" {
			line = told
			if a.fromZero {
				line++
			}
			if line > reached { // what opens in line 1 is placed at the end
				line = 1
			}
		}
		message = a.advice
		break
	}
	return f.problemAt(line, 1, "isn't YAML: "+message)
}

// lastLike is the number of the line that looks so, of the one reached and the one
// above it that isn't empty; 0 if neither does.
func lastLike(pattern *regexp.Regexp, source []byte, reached int) int {
	lines := bytes.Split(source, []byte("\n"))
	for i, tries := min(reached, len(lines)), 2; i > 0 && tries > 0; i-- {
		line := lines[i-1]
		if pattern.Match(line) {
			return i
		}
		if len(bytes.TrimSpace(line)) > 0 {
			tries--
		}
	}
	return 0
}
