package state

import (
	"strings"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// AppendString writes a string as encoding/json does: safe in HTML, and what is
// no UTF-8 replaced.
func AppendString(out []byte, s string) []byte {
	out = append(out, '"')
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r == '\r':
			out = append(out, '\\', 'r')
		case r == '\t':
			out = append(out, '\\', 't')
		case r == '\b':
			out = append(out, '\\', 'b')
		case r == '\f':
			out = append(out, '\\', 'f')
		case r < ' ' || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") ||
			r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029':
			out = append(out, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}
