package session

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/credence-authz/credence/audit"
)

func TestForeign(t *testing.T) {
	s := newTestSessions(t, Options{})
	const none = "\x00" // none is ours
	tests := []struct{ name, line, want string }{
		{"nothing", "", none},
		{"others alone", "a=1; b=2", none},
		{"one alone", "__Host-credence.web=v", ""},
		{"first", "__Host-credence.web=v; a=1", "a=1"},
		{"last", "a=1; __Host-credence.web=v", "a=1"},
		{"between", "a=1; __Host-credence.web=v; b=2", "a=1; b=2"},
		{"chunks", "__Host-credence.web=v; a=1; __Host-credence.web.1=v; __Host-credence.web.2=w", "a=1"},
		{"binding", "a=1; __Host-credence-binding=v", "a=1"},
		{"of a domain", "__Secure-credence.web=v; a=1", "a=1"},
		{"of any client", "__Host-credence.x=v; __Host-credence.y-z=v", ""},
		{"without blanks", "a=1;__Host-credence.web=v;b=2", "a=1; b=2"},
		{"joined by a comma before", "a=1,__Host-credence.web=v; b=2", "a=1; b=2"},
		{"joined by a comma behind", "__Host-credence.web=v,b=2", "b=2"},
		{"joined on both sides", "a=1,__Host-credence.web=v,b=2", "a=1; b=2"},
		{"other commas stay", "a=1,2,3; __Host-credence.web=v; b=4,5", "a=1,2,3; b=4,5"},
		{"without a value", "a=1; __Host-credence.web; b=2", "a=1; b=2"},
		{"blank before =", "a=1; __Host-credence.web =v; b=2", "a=1; b=2"},
		{"within a quoted value", `a="x; __Host-credence.web=v"; b=2`, `a="x; b=2`},
		{"right behind a quote", `a="__Host-credence.web=v"; b=2`, `a="; b=2`},
		{"behind a blank, where some readers split", "a=1 __Host-credence.web=v; b=2", "a=1; b=2"},
		{"as a value", "a=__Host-credence.web=v; b=2", "a=; b=2"},
		{"empty cookies around", ";; ,__Host-credence.web=v ;;,", ""},
		{"a longer name before", "x__Host-credence.web=v; a=1", none},
		{"a longer name behind", "__Host-credences.web=v; a=1", none},
		{"the bare name", "__Host-credence=v; a=1", none},
		{"the name at the end", "a=1; __Host-credence", none},
		{"without prefix", "credence.web=v; -credence.web=v; Host-credence.web=v", none},
		{"prefix twice", "__Host-__Host-credence.web=v; a=1", none},
		{"other case", "__host-credence.web=v; a=1", none},
	}
	for _, test := range tests {
		rest, ours := s.Foreign(test.line)
		want := test.want
		if want == none {
			want = test.line
		}
		if rest != want || ours != (test.want != none) {
			t.Errorf("%s: got %q, %v, want %q", test.name, rest, ours, want)
		}
	}
}

func TestSEC_5_48_5_49_FindingASession(t *testing.T) {
	s := newTestSessions(t, Options{})
	b := newBrowser(t)
	b.begin(s, alice(), noon)
	own := b.header()
	value := b.cookies["__Host-credence.web"]
	long := strings.Repeat("x", maxValue)
	tests := []struct {
		name  string
		lines []string
		want  audit.Reason
	}{
		{"alone", []string{own}, audit.Allowed},
		{"among others", []string{"a=1; " + own + "; b=2"}, audit.Allowed},
		{"in a line of its own", []string{"a=1", own, "b=2"}, audit.Allowed},
		{"before a line that a proxy joined by a comma", []string{own + ",b=2"}, audit.Allowed},
		{"planted behind a comma, in a value that any host may set", []string{"a=1," + own}, audit.NoCredential},
		{"with blanks around", []string{" \t" + own + " \t; a=1"}, audit.Allowed},
		{"without blanks", []string{"a=1;" + own + ";b=2"}, audit.Allowed},
		{"twice the same", []string{own + "; " + own, own}, audit.Allowed},
		{"beside one that doesn't open", []string{"__Host-credence.web=1x; " + own}, audit.Allowed},
		{"beside another client's", []string{own + "; __Host-credence.web2=1x; __Host-credence.web-2=1x"}, audit.Allowed},
		{"beside a chunk that it doesn't have", []string{own + "; __Host-credence.web.1=x"}, audit.Allowed},
		{"nothing", nil, audit.NoCredential},
		{"an empty line", []string{""}, audit.NoCredential},
		{"lines that are nothing (5.49)", []string{"=", ";", "a", ",", "==;;,,", "\x00", "=;=;"}, audit.NoCredential},
		{"within a name", []string{"x" + own}, audit.NoCredential},
		{"within a value", []string{"a=" + own}, audit.NoCredential},
		{"behind a blank", []string{"a=1 " + own}, audit.NoCredential},
		{"of another client alone", []string{"__Host-credence.web2=" + value}, audit.NoCredential},
		{"name alone", []string{"__Host-credence.web"}, audit.NoCredential},
		{"of a domain, where there is none", []string{"__Secure-credence.web=" + value}, audit.NoCredential},
		{"without a value", []string{"__Host-credence.web="}, audit.SessionInvalid},
		{"further chunk alone", []string{"__Host-credence.web.1=" + value}, audit.SessionInvalid},
		{"chunk that there can't be", []string{"__Host-credence.web.6=x; __Host-credence.web.0=x; __Host-credence.web.10=x"}, audit.NoCredential},
		{"chunk with two values", []string{own + "; __Host-credence.web.1=x; __Host-credence.web.1=y"}, audit.SessionInvalid},
		{"no digit", []string{"__Host-credence.web=x" + value}, audit.SessionInvalid},
		{"more than six cookies", []string{"__Host-credence.web=7" + value[1:]}, audit.SessionInvalid},
		{"10^9 cookies (5.48)", []string{"__Host-credence.web=1000000000" + value[1:]}, audit.SessionInvalid},
		{"of the store", []string{"__Host-credence.web=0" + value[1:]}, audit.SessionInvalid},
		{"cut short", []string{own[:len(own)-1]}, audit.SessionInvalid},
		{"far too long", []string{"__Host-credence.web=1" + long}, audit.SessionInvalid},
		{"more values than are looked at", []string{"__Host-credence.web=1; __Host-credence.web=2; __Host-credence.web=3; __Host-credence.web=4; " + own}, audit.SessionInvalid},
	}
	for _, test := range tests {
		v, refusal := s.Check(t.Context(), "web", line(test.lines...), noon)
		got := audit.Allowed
		if refusal != nil {
			got = refusal.Reason
			noCanary(t, test.name, refusal.Error())
		}
		if got != test.want || (v.Record != nil) != (refusal == nil) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestSessionOfAnotherClient (S17): also under the other's name.
func TestSessionOfAnotherClient(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		s := newTestSessions(t, Options{Store: store})
		now := time.Now()
		b := newBrowser(t)
		b.begin(s, alice(), now)
		value := b.cookies["__Host-credence.web"]
		for _, header := range []string{"__Host-credence.admin=" + value, "__Host-credence.admin=" + value + "; __Host-credence.web=" + value} {
			if _, refusal := s.Peek(t.Context(), "admin", line(header), now); refusal == nil || refusal.Reason != audit.SessionInvalid {
				t.Errorf("%s: got %v", name, refusal)
			}
		}
		b.wants(s, now, audit.Allowed)
	}
}

// TestSEC_5_54_TossedSession: of two that are good, none is.
func TestSEC_5_54_TossedSession(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		s := newTestSessions(t, Options{Store: store})
		now := time.Now()
		victim, attacker := newBrowser(t), newBrowser(t)
		victim.begin(s, alice(), now)
		mallory := alice()
		mallory.Subject = "mallory"
		attacker.begin(s, mallory, now)
		for _, header := range []string{attacker.header() + "; " + victim.header(), victim.header() + "; " + attacker.header()} {
			if _, refusal := s.Check(t.Context(), "web", line(header), now); refusal == nil || refusal.Reason != audit.SessionInvalid {
				t.Errorf("%s: got %v", name, refusal)
			}
		}
		// A sibling host can't set __Host- cookies, but values with a comma in them.
		for _, header := range []string{victim.header() + "; x=1," + attacker.header(), "x=1," + attacker.header() + "; " + victim.header()} {
			if v, refusal := s.Check(t.Context(), "web", line(header), now); refusal != nil || v.Record.Subject != "alice-subject" {
				t.Errorf("%s: got %v beside a planted one", name, refusal)
			}
		}
	}
}

// TestSEC_5_54_5_55_LoginEndsWhatTheBrowserHad: the new session has a fresh id, and
// the old ones are over, the tossed one too.
func TestSEC_5_54_5_55_LoginEndsWhatTheBrowserHad(t *testing.T) {
	for name, store := range map[string]Store{"cookie": nil, "memory": NewMemory(10)} {
		s := newTestSessions(t, Options{Store: store})
		now := time.Now()
		b, attacker := newBrowser(t), newBrowser(t)
		b.begin(s, alice(), now)
		attacker.begin(s, alice(), now)
		old := b.copy()
		was := b.wants(s, now, audit.Allowed)
		set, refusal := s.Begin(t.Context(), alice(), line(b.header()+"; "+attacker.header()), now)
		if refusal != nil {
			t.Fatal(refusal)
		}
		b.take(set)
		if is := b.wants(s, now, audit.Allowed); is.ID == was.ID {
			t.Errorf("%s: the id stayed", name)
		}
		ended := audit.SessionRevoked
		if store != nil {
			ended = audit.SessionInvalid
		}
		old.wants(s, now, ended)
		attacker.wants(s, now, ended)
		if _, refusal := s.Check(t.Context(), "web", line(attacker.header()+"; "+b.header()), now); refusal != nil {
			t.Errorf("%s: a session that ended is in the way: %v", name, refusal)
		}
	}
}

// TestSEC_5_32_5_47_HostileHeaders: thousands of cookies cost what their bytes do.
func TestSEC_5_32_5_47_HostileHeaders(t *testing.T) {
	s := newTestSessions(t, Options{})
	b := newBrowser(t)
	b.begin(s, alice(), noon)
	chunk := "__Host-credence.web.1=" + strings.Repeat("x", 30)
	for name, header := range map[string]string{
		"5,000 others":         strings.Repeat("a=b; ", 5000) + b.header(),
		"5,000 of ours":        strings.Repeat("__Host-credence.web=x; ", 5000),
		"5,000 by commas":      strings.Repeat("__Host-credence.web=x,", 5000),
		"5,000 chunks":         strings.Repeat(chunk+"; ", 5000),
		"5,000 names":          strings.Repeat("__Host-credence.web", 5000),
		"60 KB in one":         "__Host-credence.web=" + strings.Repeat("1", 60_000),
		"60 KB of blanks":      strings.Repeat(" ", 60_000) + b.header(),
		"60 KB of blanks each": strings.Repeat("__Host-credence.web"+strings.Repeat(" ", 1000), 60),
	} {
		cookies := line(header)
		allocs := testing.AllocsPerRun(3, func() {
			_, _ = s.Check(t.Context(), "web", cookies, noon)
			s.End(t.Context(), "web", cookies, time.Now())
		})
		if allocs > 50 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
		if rest, _ := s.Foreign(header); strings.Contains(rest, "__Host-credence.web=") {
			t.Errorf("%s: ours are left", name)
		}
	}
}

// TestSEC_5_30_NothingRandomOpens: made-up cookies, and those of keys that are gone.
func TestSEC_5_30_NothingRandomOpens(t *testing.T) {
	s := newTestSessions(t, Options{Ring: newTestRing(t, 2, 3)})
	other := newTestSessions(t, Options{Ring: newTestRing(t, 1)})
	b := newBrowser(t)
	b.begin(other, alice(), noon)
	old := b.cookies["__Host-credence.web"]
	b.begin(s, alice(), noon)
	good := b.cookies["__Host-credence.web"]
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, 400)
	var line1 string
	cookies := func(yield func(string) bool) { yield(line1) }
	for i := range 100_000 {
		value := old
		switch i % 3 {
		case 0: // of random characters and a random length
			n := random.IntN(len(text))
			for k := range n {
				text[k] = alphabet[random.IntN(len(alphabet))]
			}
			value = "1" + string(text[:n])
		case 1: // a good one, changed
			changed := []byte(good)
			at := random.IntN(len(changed))
			for c := changed[at]; changed[at] == c; {
				changed[at] = alphabet[random.IntN(len(alphabet))]
			}
			value = string(changed)
		case 2: // of a key that is gone, cut and with a good beginning
			at := random.IntN(min(len(old), len(good)))
			value = good[:at] + old[at:]
			if value == good {
				continue
			}
		}
		line1 = "__Host-credence.web=" + value
		if _, refusal := s.Check(t.Context(), "web", cookies, noon); refusal == nil || refusal.Reason != audit.SessionInvalid {
			t.Fatalf("%d: got %v for %q", i, refusal, line1)
		}
	}
}

// readers split a Cookie line in ways that applications do.
var readers = []func(rune) bool{
	func(c rune) bool { return c == ';' },
	func(c rune) bool { return c == ';' || c == ',' },
	func(c rune) bool { return strings.ContainsRune("; ,\t\r\n\v\f", c) },
	func(c rune) bool { return strings.ContainsRune(";,\"= \t", c) },
	func(c rune) bool { return strings.ContainsRune("()<>@,;:\\\"/[]?={} \t\x00\x7f", c) },
}

func FuzzCookieHeader(f *testing.F) {
	s := newTestSessions(f, Options{})
	b := newBrowser(f)
	b.begin(s, large(9000), noon)
	for _, header := range []string{"", "=", ";", "a", "a=1; " + b.header() + "; b=2", `a="__Host-credence.web=v"`, "a=1,__Host-credence.web=v", "__Secure-credence-x,", strings.ReplaceAll(b.header(), "; ", ",")} {
		f.Add(header, "")
		f.Add("c=d", header)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		found, refusal := s.Peek(t.Context(), "web", line(one, two), noon)
		if (found == nil) == (refusal == nil) {
			t.Fatal("neither a session nor a refusal")
		}
		var rests []string
		for _, header := range []string{one, two} {
			rest, ours := s.Foreign(header)
			if !ours && rest != header {
				t.Fatalf("%q became %q", header, rest)
			}
			for i, splits := range readers {
				for _, piece := range strings.FieldsFunc(rest, splits) {
					piece = strings.Trim(piece, " \t\r\n\v\f\"")
					for _, prefix := range []string{"__Host-credence.", "__Host-credence-", "__Secure-credence.", "__Secure-credence-"} {
						if strings.HasPrefix(piece, prefix) {
							t.Fatalf("reader %d finds %q in %q, of %q", i, piece, rest, header)
						}
					}
				}
			}
			if again, ours := s.Foreign(rest); ours || again != rest {
				t.Fatalf("%q becomes %q the second time", rest, again)
			}
			rests = append(rests, rest)
		}
		if _, refusal := s.Peek(t.Context(), "web", line(rests...), noon); refusal == nil || refusal.Reason != audit.NoCredential {
			t.Fatalf("something is left: %v", refusal)
		}
		alone, _ := s.Peek(t.Context(), "web", line(one), noon)
		joined, _ := s.Peek(t.Context(), "web", line(one+","+two), noon)
		if found != nil && alone != nil && joined == nil {
			t.Fatal("the session isn't found where a proxy has joined another line to its")
		}
	})
}
