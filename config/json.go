package config

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// plainJSON rewrites the two escapes of JSON that YAML doesn't know, \/ and
// pairs of surrogates, so that the YAML parser reads every JSON file. Lines stay
// what they are. Data that isn't JSON is given back as it is.
func plainJSON(data []byte) []byte {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || !json.Valid(data) {
		return data
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' { // valid JSON has backslashes in strings only
			out = append(out, data[i])
			continue
		}
		if r := utf16.DecodeRune(unit(data[i:]), unit(data[min(i+6, len(data)):])); r != utf8.RuneError {
			out = utf8.AppendRune(out, r)
			i += len(`\uD83D\uDE00`) - 1
			continue
		}
		i++
		if data[i] != '/' {
			out = append(out, '\\')
		}
		out = append(out, data[i])
	}
	return out
}

// unit is the UTF-16 code unit that an escape \uXXXX at the start of data stands
// for, or -1.
func unit(data []byte) rune {
	if !bytes.HasPrefix(data, []byte(`\u`)) || len(data) < len(`\uXXXX`) {
		return -1
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
