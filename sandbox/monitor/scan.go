package monitor

import (
	"bytes"
	"strings"

	"github.com/berth-engine/berth/sandbox/state"
)

// read splits an object into its fields.
func (f *fields) read(b []byte) ([]byte, error) {
	rest, err := value(b, 0)
	if err != nil || b[0] != '{' {
		return nil, errJSON
	}
	for b = space(b[1:]); b[0] != '}'; {
		after, _ := value(b, 0) // all of it was looked at already
		name, err := unquote(b[:len(b)-len(after)])
		if err != nil {
			return nil, err
		}
		b = space(space(after)[1:]) // the colon
		after, _ = value(b, 0)
		f.in = append(f.in, field{name, b[:len(b)-len(after)]})
		if b = space(after); b[0] == ',' {
			b = space(b[1:])
		}
	}
	return rest, nil
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\t' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// value returns what follows the value at the start of b.
func value(b []byte, depth int) ([]byte, error) {
	if len(b) == 0 || depth > maxDepth {
		return nil, errJSON
	}
	switch b[0] {
	case '{':
		return list(b, '}', func(b []byte) ([]byte, error) {
			if len(b) == 0 || b[0] != '"' {
				return nil, errJSON
			}
			b, err := value(b, depth)
			if b = space(b); err != nil || len(b) == 0 || b[0] != ':' {
				return nil, errJSON
			}
			return value(space(b[1:]), depth+1)
		})
	case '[':
		return list(b, ']', func(b []byte) ([]byte, error) { return value(b, depth+1) })
	case '"':
		for i := 1; i < len(b); i++ {
			switch {
			case b[i] == '"':
				return b[i+1:], nil
			case b[i] == '\\':
				i++
			case b[i] < ' ':
				return nil, errJSON
			}
		}
		return nil, errJSON
	}
	for _, word := range []string{"true", "false", "null"} {
		if rest, ok := bytes.CutPrefix(b, []byte(word)); ok {
			return rest, nil
		}
	}
	return numeral(b)
}

// numeral returns what follows the number at the start of b.
func numeral(b []byte) ([]byte, error) {
	digits := func() bool {
		n := len(b)
		for len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
			b = b[1:]
		}
		return len(b) < n
	}
	one := func(of string) bool {
		if len(b) == 0 || strings.IndexByte(of, b[0]) < 0 {
			return false
		}
		b = b[1:]
		return true
	}
	one("-")
	if !one("0") && !digits() {
		return nil, errJSON
	}
	if one(".") && !digits() {
		return nil, errJSON
	}
	if one("eE") {
		one("+-")
		if !digits() {
			return nil, errJSON
		}
	}
	return b, nil
}

// list goes through an object or a list.
func list(b []byte, end byte, element func([]byte) ([]byte, error)) ([]byte, error) {
	b = space(b[1:])
	if len(b) > 0 && b[0] == end {
		return b[1:], nil
	}
	for {
		var err error
		if b, err = element(b); err != nil {
			return nil, err
		}
		b = space(b)
		switch {
		case len(b) > 0 && b[0] == end:
			return b[1:], nil
		case len(b) > 0 && b[0] == ',':
			b = space(b[1:])
		default:
			return nil, errJSON
		}
	}
}

// unquote reads a string that value has gone over.
func unquote(b []byte) (string, error) {
	s, ok := state.ReadString(b)
	if !ok {
		return "", errJSON
	}
	return s, nil
}
