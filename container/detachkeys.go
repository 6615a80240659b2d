package container

import (
	"bytes"

	"github.com/moby/term"
)

// defaultKeys are ctrl-p, ctrl-q.
var defaultKeys = []byte{16, 17}

// parseKeys reads a sequence such as "ctrl-p,ctrl-q" or "a,ctrl-],DEL". "" is the
// default.
func parseKeys(s string) ([]byte, error) {
	if s == "" {
		return defaultKeys, nil
	}
	keys, err := term.ToBytes(s)
	if err != nil {
		return nil, invalid("Invalid detach keys (%s) provided", s)
	}
	return keys, nil
}

// CheckDetachKeys refuses what is no sequence of keys.
func CheckDetachKeys(s string) error {
	_, err := parseKeys(s)
	return err
}

// matcher looks for the detach keys in what a client types, which may come in
// any pieces. Bytes that may be the beginning of the sequence are held back.
type matcher struct {
	keys []byte
	n    int // how much of keys is held back
}

// feed returns what goes to the container, and whether the sequence was typed;
// then what follows it is dropped.
func (m *matcher) feed(in []byte) (out []byte, detach bool) {
	out = make([]byte, 0, len(in)+m.n)
	for _, b := range in {
		for {
			if b == m.keys[m.n] {
				m.n++
				break
			}
			if m.n == 0 {
				out = append(out, b)
				break
			}
			// Not the sequence: let go what can no longer begin it.
			keep := longestBorder(m.keys[:m.n])
			out = append(out, m.keys[:m.n-keep]...)
			m.n = keep
		}
		if m.n == len(m.keys) {
			return out, true
		}
	}
	return out, false
}

// held is what feed keeps back at the end of the input.
func (m *matcher) held() []byte {
	h := m.keys[:m.n]
	m.n = 0
	return h
}

// longestBorder is the length of the longest proper prefix of s that is also
// its suffix.
func longestBorder(s []byte) int {
	for n := len(s) - 1; n > 0; n-- {
		if bytes.HasPrefix(s, s[len(s)-n:]) {
			return n
		}
	}
	return 0
}
