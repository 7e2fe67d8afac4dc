package authz

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
)

// encodeAnswer renders a decision as allowResponse and denyResponse do, without
// their types. An answer with metadata, which is a tree, goes their way. The answer
// holds none of the decision's memory.
func encodeAnswer(d *Decision) mem.Buffer {
	allow := d.Allow && d.Reason.Class() == audit.ClassAllow
	switch {
	case allow && d.Metadata == nil:
		return encodeAllow(d)
	case allow:
		return marshal(d)
	}
	return encodeDeny(d)
}

func marshal(d *Decision) mem.Buffer {
	b, err := proto.Marshal(allowResponse(d))
	if err != nil {
		return encodeDeny(&Decision{}) // a string that isn't UTF-8: a fault of ours
	}
	return mem.SliceBuffer(b)
}

// answerMemory gives memory for an answer of so many bytes, which the transport
// gives back once they are written. It doesn't keep less than a kilobyte.
func answerMemory(size int) *[]byte {
	b := buffers.Get(max(size, 1<<10+1))
	*b = (*b)[:0]
	return b
}

func answered(memory *[]byte, b []byte) mem.Buffer {
	*memory = b
	return mem.NewBuffer(memory, buffers)
}

// Field numbers of envoy.service.auth.v3 and of what it is made of.
const (
	responseStatus, responseDenied, responseOK = 1, 2, 3

	okHeaders, okRemove, okResponseHeaders, okSetQuery, okRemoveQuery = 2, 5, 6, 7, 8

	deniedStatus, deniedHeaders, deniedBody = 1, 2, 3

	optionHeader, optionAppend, optionAction = 1, 2, 3

	actionOverwrite = 2 // OVERWRITE_IF_EXISTS_OR_ADD
)

func encodeAllow(d *Decision) mem.Buffer {
	guardTexts(d.Set)
	guardTexts(d.ResponseHeaders)
	size := 0
	for _, h := range d.Set {
		size += sizeMessage(sizeOption(h, overwrites))
	}
	for _, name := range d.Remove {
		size += sizeMessage(len(name))
	}
	for _, h := range d.ResponseHeaders {
		size += sizeMessage(sizeOption(h, replaces))
	}
	size += sizeCookies(d.SetCookies)
	if len(d.SetCookies) > 0 {
		size += sizeMessage(sizeOption(uncached, replaces))
	}
	query := d.SetQuery
	if len(query) > 0 {
		query = make([]Header, len(d.SetQuery))
		for i, q := range d.SetQuery {
			query[i] = Header{escapeQuery(q.Name), escapeQuery(q.Value)}
			size += sizeMessage(sizeHeader(query[i]))
		}
	}
	for _, name := range d.RemoveQuery {
		size += sizeMessage(len(name))
	}
	memory := answerMemory(2 + sizeMessage(size))
	b := appendLength(*memory, responseStatus, 0) // an empty Status is code 0
	b = appendLength(b, responseOK, size)
	for _, h := range d.Set {
		b = appendOption(b, okHeaders, h, overwrites)
	}
	for _, name := range d.Remove {
		b = appendString(b, okRemove, name)
	}
	for _, h := range d.ResponseHeaders {
		b = appendOption(b, okResponseHeaders, h, replaces)
	}
	b = appendCookies(b, okResponseHeaders, d.SetCookies)
	if len(d.SetCookies) > 0 {
		b = appendOption(b, okResponseHeaders, uncached, replaces)
	}
	for _, q := range query {
		b = appendHeader(b, okSetQuery, q)
	}
	for _, name := range d.RemoveQuery {
		b = appendString(b, okRemoveQuery, name)
	}
	return answered(memory, b)
}

func encodeDeny(d *Decision) mem.Buffer {
	denial := deniable(d)
	guardTexts(denial.Headers)
	code, reason := uint64(denyCode(denial.Status)), d.Reason.String()
	statusSize := 1 + protowire.SizeVarint(code) + sizeMessage(len(reason))
	httpSize := 1 + protowire.SizeVarint(uint64(denial.Status))
	size := sizeMessage(httpSize)
	for _, h := range denial.Headers {
		size += sizeMessage(sizeOption(h, replaces))
	}
	size += sizeCookies(d.SetCookies)
	if denial.Body != "" {
		size += sizeMessage(len(denial.Body))
	}
	memory := answerMemory(sizeMessage(statusSize) + sizeMessage(size))
	b := appendLength(*memory, responseStatus, statusSize)
	b = protowire.AppendVarint(append(b, 1<<3), code)
	b = appendString(b, 2, reason)
	b = appendLength(b, responseDenied, size)
	b = appendLength(b, deniedStatus, httpSize)
	b = protowire.AppendVarint(append(b, 1<<3), uint64(denial.Status))
	for _, h := range denial.Headers {
		b = appendOption(b, deniedHeaders, h, replaces)
	}
	b = appendCookies(b, deniedHeaders, d.SetCookies)
	if denial.Body != "" {
		b = appendString(b, deniedBody, denial.Body)
	}
	return answered(memory, b)
}

// sizeMessage is the size of a length-delimited field of so many bytes; all field
// numbers here are below 16, so a tag is one byte.
func sizeMessage(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeHeader(h Header) int {
	n := 0
	if h.Name != "" {
		n += sizeMessage(len(h.Name))
	}
	if h.Value != "" {
		n += sizeMessage(len(h.Value))
	}
	return n
}

// guardTexts is headerText for a list.
func guardTexts(list []Header) {
	for i := range list {
		list[i].Value = headerText(list[i].Value)
	}
}

// placing says what becomes of a header of the same name that is there already,
// and is the size of the fields that say so.
type placing int

const (
	adds       placing = 0 // it stays: append_action's zero, which isn't sent
	replaces   placing = 2 // append_action
	overwrites placing = 4 // append, an empty BoolValue, which is false; and append_action
)

func sizeOption(h Header, p placing) int { return sizeMessage(sizeHeader(h)) + int(p) }

func sizeCookies(values []string) int {
	size := 0
	for _, v := range values {
		size += sizeMessage(sizeOption(Header{"set-cookie", headerText(v)}, adds))
	}
	return size
}

func appendCookies(b []byte, number protowire.Number, values []string) []byte {
	for _, v := range values {
		b = appendOption(b, number, Header{"set-cookie", headerText(v)}, adds)
	}
	return b
}

func appendLength(b []byte, number protowire.Number, n int) []byte {
	return protowire.AppendVarint(append(b, byte(number)<<3|byte(protowire.BytesType)), uint64(n))
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	return append(appendLength(b, number, len(s)), s...)
}

func appendHeader(b []byte, number protowire.Number, h Header) []byte {
	b = appendLength(b, number, sizeHeader(h))
	if h.Name != "" {
		b = appendString(b, 1, h.Name)
	}
	if h.Value != "" {
		b = appendString(b, 2, h.Value)
	}
	return b
}

// appendOption writes a HeaderValueOption: what overwrite, replace and add make.
func appendOption(b []byte, number protowire.Number, h Header, p placing) []byte {
	b = appendLength(b, number, sizeOption(h, p))
	b = appendHeader(b, optionHeader, h)
	if p == overwrites {
		b = appendLength(b, optionAppend, 0)
	}
	if p != adds {
		b = append(b, optionAction<<3, actionOverwrite)
	}
	return b
}
