package authz

import (
	"fmt"
	"regexp"
	"strings"
)

// operators are CEL's, by what other languages write in their place.
var operators = map[string]string{"and": "&&", "or": "||", "not": "!", "=": "==", "===": "==", "!==": "!="}

// pieces are the strings, names and signs of an expression. The dot before a member
// belongs to its name, which may be any word.
var pieces = regexp.MustCompile(`"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\.?\w+|[=!<>]+`)

// meantOperator is what an expression that can't be compiled most likely means by an
// operator of another language; empty where it has none.
func meantOperator(text string) string {
	for _, piece := range pieces.FindAllString(text, -1) {
		if meant := operators[strings.ToLower(piece)]; meant != "" {
			return meant
		}
	}
	return ""
}

var unknownName = regexp.MustCompile(`^undeclared reference to '(\w+)'$`)

// meantName says what to write in place of a name that isn't known, to be put behind a
// message of the compiler's; empty where that is about something else, such as a function.
func (e environment) meantName(text, message string) string {
	name := unknownName.FindStringSubmatch(message)
	switch {
	case name != nil && name[1] == "claims":
		return "; a public rule has none"
	case name == nil || name[1] == "request" || strings.Contains(text, name[1]+"("):
		return ""
	case e.claims:
		return fmt.Sprintf("; write claims.%s for a claim, %q for text", name[1], name[1])
	}
	return fmt.Sprintf("; write %q for text", name[1])
}
