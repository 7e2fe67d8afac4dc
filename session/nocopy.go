package session

import "unsafe"

// bytesOf is s without a copy, for readers that don't write.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf is b without a copy, for bytes that nobody writes any more.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
