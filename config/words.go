package config

import (
	"slices"
	"strconv"
	"strings"
)

// maxShown is how many characters of a value stand in a message.
const maxShown = 80

// quote is the start of a foreign string in quotes, with escapes for what would
// break a line or hide another. Three dots stand for what was cut off.
func quote(s string) string {
	count := 0
	for i := range s {
		if count++; count > maxShown {
			return strconv.Quote(s[:i]) + "..."
		}
	}
	return strconv.Quote(s)
}

// quoteEach is quote for each of several values that stand in one, with blanks or commas
// between them.
func quoteEach(s string) string {
	values := strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' })
	if len(values) < 2 || len(s) > maxShown {
		return quote(s)
	}
	for i, v := range values {
		values[i] = quote(v)
	}
	return strings.Join(values, ", ")
}

// show is quote without the quotes.
func show(s string) string {
	inner, cut := strings.CutSuffix(quote(s), "...")
	inner = inner[1 : len(inner)-1]
	if cut {
		inner += "..."
	}
	return inner
}

// soundsSecret says whether a field's name is one that people give to secrets.
func soundsSecret(name string) bool {
	name = plain(name)
	return name == "key" || slices.ContainsFunc(
		[]string{"secret", "password", "passwd", "passphrase", "token", "credential", "privatekey", "apikey"},
		func(word string) bool { return strings.Contains(name, word) })
}

// plain is a name without case and punctuation.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(name))
}

// nearest is the one of names that somebody who wrote name most likely meant, or
// empty: the same letters in another spelling, its beginning, or a few letters
// wrong.
func nearest(name string, names []string) string {
	if len(name) > maxShown || len(names) > maxShown { // too much work for a hint
		return ""
	}
	best, least := "", max(1, len(plain(name))/3)+1
	for _, candidate := range names {
		if len(candidate) > maxShown {
			continue
		}
		d := distance(plain(name), plain(candidate))
		if len(name) > 2 && strings.HasPrefix(plain(candidate), plain(name)) {
			d = min(d, 1) // client_ca for client_ca_file
		}
		if d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
