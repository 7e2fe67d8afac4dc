package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// ID names a session: 128 random bits, fresh at every login. With the cookie store
// it is no credential, and still it is written nowhere: in a log it would tie
// requests of a person together.
type ID [16]byte

const hiddenID = "[session id]"

// String hides the id.
func (ID) String() string { return hiddenID }

// Format hides the id from fmt, whatever the verb.
func (ID) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenID) }

// LogValue hides the id from slog.
func (ID) LogValue() slog.Value { return slog.StringValue(hiddenID) }

// MarshalText hides the id from encoding/json.
func (ID) MarshalText() ([]byte, error) { return []byte(hiddenID), nil }

// Record is a session. One that [Sessions] gave out is shared between requests:
// copy it before changing it. It prints as a placeholder, since it holds tokens.
type Record struct {
	ID        ID
	Client    string // the configuration's name of the client it was begun for
	Issuer    string
	Subject   string
	SID       string // the provider's own session (sid); may be empty
	Refreshes uint32 // how often its tokens were renewed: the record's version

	// Whole seconds. LoggedIn is when it began, Seen when it was last known to be
	// used, Expires its absolute end, Refreshed when the tokens came.
	LoggedIn, Seen, Expires, Refreshed time.Time

	AccessExpires time.Time // whole seconds; zero where it isn't known

	Claims                             string // the identity's claims; opaque here
	IDToken, AccessToken, RefreshToken string // any may be empty
}

const hiddenRecord = "[session]"

// String hides the record.
func (Record) String() string { return hiddenRecord }

// Format hides the record from fmt, whatever the verb.
func (Record) Format(s fmt.State, _ rune) { io.WriteString(s, hiddenRecord) }

// LogValue hides the record from slog.
func (Record) LogValue() slog.Value { return slog.StringValue(hiddenRecord) }

// MarshalText hides the record from encoding/json.
func (Record) MarshalText() ([]byte, error) { return []byte(hiddenRecord), nil }

const (
	// recordVersion is the first byte of every record. A reader refuses what is
	// later than it knows, so a change of the form needs a new number.
	recordVersion = 1

	// maxRecord bounds a record's bytes, and so what an inflated cookie may hold.
	maxRecord = 64 << 10

	// maxSecond is the end of the year 9999. Beyond it sums of times could wrap.
	maxSecond = 253402300799
)

var (
	// errNewer says that a record was written by a later version of this package.
	errNewer = errors.New("session: the record has a later format than this version knows")

	errRecord = errors.New("session: the record is malformed")
	errTime   = errors.New("session: a time of the record is before 1970 or after 9999")
	errSize   = fmt.Errorf("session: the record is longer than %d bytes", maxRecord)
)

func (r *Record) times() [5]*time.Time {
	return [...]*time.Time{&r.LoggedIn, &r.Seen, &r.Expires, &r.Refreshed, &r.AccessExpires}
}

func (r *Record) texts() [8]*string {
	return [...]*string{&r.Client, &r.Issuer, &r.Subject, &r.SID, &r.Claims, &r.IDToken, &r.AccessToken, &r.RefreshToken}
}

// appendBinary appends the record to b: the version, the id, the number of
// refreshes, the times in seconds since 1970 (0 for the zero time), each text with
// its length before it. Numbers are unsigned varints. It fails for a record of more
// than 64 KiB and for a time outside the years 1970 to 9999.
func (r *Record) appendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(append(b, recordVersion), r.ID[:]...)
	b = binary.AppendUvarint(b, uint64(r.Refreshes))
	for _, t := range r.times() {
		var second int64
		if !t.IsZero() {
			if second = t.Unix(); second < 1 || second > maxSecond {
				return nil, errTime
			}
		}
		b = binary.AppendUvarint(b, uint64(second))
	}
	for _, text := range r.texts() {
		b = binary.AppendUvarint(b, uint64(len(*text)))
		b = append(b, *text...)
	}
	if len(b)-start > maxRecord {
		return nil, errSize
	}
	return b, nil
}

// parseRecord reads what appendBinary wrote, all of it, and nothing written in
// another way. The record's strings are parts of s. The error is errNewer for a later
// format.
func parseRecord(s string) (*Record, error) {
	switch {
	case len(s) > 0 && s[0] > recordVersion:
		return nil, errNewer
	case len(s) > maxRecord || len(s) < 1+len(ID{}) || s[0] != recordVersion:
		return nil, errRecord
	}
	r := new(Record)
	s = s[1+copy(r.ID[:], s[1:]):]
	refreshes, s, ok := cutUvarint(s)
	if !ok || refreshes > 1<<32-1 {
		return nil, errRecord
	}
	r.Refreshes = uint32(refreshes)
	for _, t := range r.times() {
		var second uint64
		if second, s, ok = cutUvarint(s); !ok || second > maxSecond {
			return nil, errRecord
		}
		if second != 0 {
			*t = time.Unix(int64(second), 0)
		}
	}
	for _, text := range r.texts() {
		var length uint64
		if length, s, ok = cutUvarint(s); !ok || length > uint64(len(s)) {
			return nil, errRecord
		}
		*text, s = s[:length], s[length:]
	}
	if s != "" {
		return nil, errRecord
	}
	return r, nil
}

// cutUvarint reads an unsigned varint in its only shortest form.
func cutUvarint(s string) (v uint64, rest string, ok bool) {
	for i := range min(len(s), 9) { // 63 bits: more than any number here
		c := s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, s[i+1:], c != 0 || i == 0
		}
	}
	return 0, "", false
}
