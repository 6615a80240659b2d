package state

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ReadString reads a JSON string, quotes included; false if it is none.
func ReadString(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", false
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] != '\\' {
			r, n := utf8.DecodeRune(b)
			out, b = utf8.AppendRune(out, r), b[n:]
			continue
		}
		r, n := escaped(b)
		if n == 0 {
			return "", false
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return string(out), true
}

// escaped reads an escape and its length, 0 if it is none.
func escaped(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
		r, ok := unit(b)
		if !ok {
			return 0, 0
		}
		if utf16.IsSurrogate(r) {
			second, _ := unit(b[6:])
			if both := utf16.DecodeRune(r, second); both != utf8.RuneError {
				return both, 12
			}
			return utf8.RuneError, 6
		}
		return r, 6
	}
	return 0, 0
}

// unit reads \uXXXX.
func unit(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}
