package session

import (
	"iter"
	"slices"
	"strings"
)

// maxBases is how many different first cookies of a client are looked at. A second
// one comes from another domain or partition of the browser; more, from an attack.
const maxBases = 4

// presented is what a request has of one client's session cookies. It is used
// again: what is found points into the request.
type presented struct {
	jar    *jar
	bases  [maxBases]string // the different values of the first cookie
	count  int              // of bases
	chunks [maxChunks]string
	has    [maxChunks]bool
	many   bool // more bases than are looked at, or a chunk with two values

	take func(line string) bool // read, bound once: as a closure it would be allocated each time
}

func newPresented() *presented {
	p := new(presented)
	p.take = p.read
	return p
}

// find reads the Cookie lines of a request.
func (s *Sessions) find(client string, cookies iter.Seq[string]) *presented {
	p := s.finders.Get().(*presented)
	p.jar = s.jar(client)
	cookies(p.take)
	return p
}

// release takes p back. Nothing may use it afterwards.
func (s *Sessions) release(p *presented) {
	*p = presented{take: p.take}
	s.finders.Put(p)
}

// none says that there is no cookie of the client.
func (p *presented) none() bool { return p.has == [maxChunks]bool{} }

// read takes what it finds in one line, and wants the next one.
func (p *presented) read(line string) bool {
	for rest := range starts(line, p.jar.names[0]) {
		i := 0
		if len(rest) > 2 && rest[0] == '.' && rest[1] > '0' && rest[1] < '0'+maxChunks {
			i, rest = int(rest[1]-'0'), rest[2:]
		}
		if rest == "" || rest[0] != '=' {
			continue
		}
		value := valueOf(rest[1:])
		if len(value) > maxValue {
			value = "" // opens nothing
		}
		p.add(i, value)
	}
	return true
}

func (p *presented) add(i int, value string) {
	switch {
	case i > 0:
		p.many = p.many || p.has[i] && p.chunks[i] != value
		p.chunks[i] = value
	case slices.Contains(p.bases[:p.count], value):
	case p.count == maxBases:
		p.many = true
	default:
		p.bases[p.count] = value
		p.count++
	}
	p.has[i] = true
}

// starts gives, for each place where a cookie with a name that begins with name
// begins, the line from behind that. Cookies are between semicolons, and never behind
// a comma, although a proxy may join two lines by one: to a browser a comma is a part
// of a value, so what __Host- keeps other hosts from setting would stand in a cookie
// that they may set. Browsers send one line.
func starts(line, name string) iter.Seq[string] {
	return func(yield func(rest string) bool) {
		for at := 0; ; {
			i := strings.Index(line[at:], name)
			if i < 0 {
				return
			}
			before := strings.TrimRight(line[at:at+i], " \t")
			first := before == "" && at == 0
			at += i + len(name)
			if (first || strings.HasSuffix(before, ";")) && !yield(line[at:]) {
				return
			}
		}
	}
}

// valueOf is the value of the cookie that s is from behind its = on, without the
// blanks behind it, which browsers don't store (RFC 6265bis, 5.6).
func valueOf(s string) string { return strings.TrimRight(s[:endOfCookie(s)], " \t") }

// endOfCookie is where the first semicolon or comma of s is, or its length: no value
// of ours has either, and behind a comma another line may begin. It
// looks no further than a piece beyond, so that many cookies cost no more than one
// long one.
func endOfCookie(s string) int {
	const piece = 1024
	for at := 0; at < len(s); at += piece {
		part := s[at:min(at+piece, len(s))]
		end := strings.IndexByte(part, ';')
		if end >= 0 {
			part = part[:end]
		}
		if comma := strings.IndexByte(part, ','); comma >= 0 {
			end = comma
		}
		if end >= 0 {
			return at + end
		}
	}
	return len(s)
}

// Foreign gives a Cookie line without our cookies, and says whether there were any.
// Ours are all whose name begins with __Host- or __Secure-, the configured name and
// a dot or hyphen, whatever they are worth, wherever something that reads cookies
// in its own way could see one begin: after any character that isn't a part of names.
// What is left is joined by semicolons. It allocates nothing where none is ours.
func (s *Sessions) Foreign(cookie string) (rest string, ours bool) {
	begin, end := s.nextOwn(cookie, 0)
	if begin < 0 {
		return cookie, false
	}
	var b strings.Builder
	for at := 0; ; {
		piece := cookie[at:]
		if begin >= 0 {
			piece = cookie[at:begin]
		}
		if piece = strings.Trim(piece, "; ,\t"); piece != "" {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			b.WriteString(piece)
		}
		if begin < 0 {
			return b.String(), true
		}
		at = end
		begin, end = s.nextOwn(cookie, at)
	}
}

// nextOwn is where the next cookie of ours is in line, from at on; begin is -1
// where there is none.
func (s *Sessions) nextOwn(line string, at int) (begin, end int) {
	for {
		i := strings.Index(line[at:], s.ownStem)
		if i < 0 {
			return -1, -1
		}
		stem := at + i
		at = stem + len(s.ownStem)
		if at == len(line) || line[at] != '.' && line[at] != '-' {
			continue
		}
		for _, prefix := range [...]string{hostPrefix, securePrefix} {
			begin = stem + 1 - len(prefix)
			if begin >= 0 && line[begin:stem+1] == prefix && (begin == 0 || !inName(line[begin-1])) {
				return begin, at + endOfCookie(line[at:])
			}
		}
	}
}

// inName says whether c may be in a cookie's name, which is a token (RFC 9110,
// 5.6.2).
func inName(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
