package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func fullRecord() Record {
	r := alice()
	r.ID, r.Refreshes = ID{1, 2, 3}, 7
	r.LoggedIn, r.Seen, r.Expires = time.Unix(100, 0), time.Unix(200, 0), time.Unix(300, 0)
	r.Refreshed, r.AccessExpires = time.Unix(150, 0), time.Unix(maxSecond, 0)
	return r
}

func TestRecordIsReadAsWritten(t *testing.T) {
	huge := fullRecord()
	huge.Claims = strings.Repeat("c", maxRecord-300)
	for name, r := range map[string]Record{"full": fullRecord(), "empty": {}, "of one text": {Client: "web"}, "huge": huge, "most refreshed": {Refreshes: 1<<32 - 1}} {
		b, err := r.appendBinary([]byte("before"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := parseRecord(string(b[len("before"):]))
		if err != nil || *got != r {
			t.Errorf("%s: read another record, %v", name, err)
		}
	}
}

func TestRecordThatCantBeWritten(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *Record)
		want   error
	}{
		{"a byte too long", func(r *Record) { r.Claims = strings.Repeat("c", maxRecord) }, errSize},
		{"before 1970", func(r *Record) { r.LoggedIn = time.Unix(-1, 0) }, errTime},
		{"at the zero second, which means none", func(r *Record) { r.Seen = time.Unix(0, 0) }, errTime},
		{"after 9999", func(r *Record) { r.AccessExpires = time.Unix(maxSecond+1, 0) }, errTime},
	}
	for _, test := range tests {
		r := fullRecord()
		test.change(&r)
		if _, err := r.appendBinary(nil); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func TestMalformedRecord(t *testing.T) {
	r := fullRecord()
	good, err := r.appendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := parseRecord(string(good[:n])); !errors.Is(err, errRecord) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
	}
	at := 1 + len(ID{}) // the number of refreshes, 7
	with := func(middle string) []byte {
		return append(append(bytes.Clone(good[:at]), middle...), good[at+1:]...)
	}
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"something behind", append(bytes.Clone(good), 0), errRecord},
		{"version 0", append([]byte{0}, good[1:]...), errRecord},
		{"later version", append([]byte{recordVersion + 1}, good[1:]...), errNewer},
		{"later version alone", []byte{255}, errNewer},
		{"number longer than it has to be", with("\x87\x00"), errRecord},
		{"too many refreshes", with("\x80\x80\x80\x80\x10"), errRecord},
		{"endless number", with(strings.Repeat("\x80", 40)), errRecord},
		{"time after 9999", append(bytes.Clone(good[:at+1]), "\xff\xff\xff\xff\xff\x7f"...), errRecord},
		{"longer than a record", append(bytes.Clone(good), make([]byte, maxRecord)...), errRecord},
	}
	for _, test := range tests {
		if _, err := parseRecord(string(test.b)); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// TestRecordKeepsItsText: b may be used again once it was parsed.
func TestRecordKeepsItsText(t *testing.T) {
	r := fullRecord()
	b, err := r.appendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseRecord(string(b))
	clear(b)
	if err != nil || *got != r {
		t.Error("the record changed with the bytes that it was read from")
	}
}

// canaries must not be seen anywhere.
var canaries = []string{"token-canary", "sid-of-alice", fmt.Sprintf("%x", fullRecordID[:4]), fmt.Sprint(fullRecordID[:4])[1:8]}

var fullRecordID = ID{0xca, 0xfe, 0xba, 0xbe}

func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, canary := range canaries {
		if strings.Contains(strings.ToLower(text), canary) {
			t.Errorf("%s has %q: %.200s", where, canary, text)
		}
	}
}

func TestNothingPrintsASession(t *testing.T) {
	r := fullRecord()
	r.ID = fullRecordID
	h := struct{ R Record }{r}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{r, &r, r.ID, &r.ID, h, []Record{r}, map[ID]int{r.ID: 1}, Verdict{Record: &r}} {
			noCanary(t, verb, fmt.Sprintf(verb, v))
		}
	}
	var b bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&b, nil)), slog.New(slog.NewJSONHandler(&b, nil))} {
		log.Info("test", slog.Any("record", r), slog.Any("pointer", &r), slog.Any("id", r.ID), slog.Any("in", h), slog.Any("verdict", Verdict{Record: &r}))
	}
	noCanary(t, "slog", b.String())
	text, err := json.Marshal([]any{r, &r, r.ID, h})
	if err != nil {
		t.Fatal(err)
	}
	noCanary(t, "json", string(text))
	noCanary(t, "String", r.String()+r.ID.String())
}

func FuzzRecord(f *testing.F) {
	for _, r := range []Record{{}, fullRecord(), alice()} {
		b, err := r.appendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(string(b))
		if err != nil {
			if r != nil || !errors.Is(err, errRecord) && !errors.Is(err, errNewer) {
				t.Fatalf("got %v", err)
			}
			return
		}
		again, err := r.appendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is written as %q, %v", b, again, err)
		}
	})
}
