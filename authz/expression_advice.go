package authz

import (
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
