package container

import (
	"bytes"
	"testing"
)

func TestParseKeys(t *testing.T) {
	for s, want := range map[string][]byte{
		"": {16, 17}, "ctrl-p,ctrl-q": {16, 17}, "a": {'a'}, "ctrl-@,ctrl-],ctrl-_": {0, 29, 31}, "ctrl-a,x": {1, 'x'},
	} {
		if got, err := parseKeys(s); err != nil || !bytes.Equal(got, want) {
			t.Errorf("parseKeys(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"ab", "ctrl-", "ctrl-A", "ctrl-1", "a,", ",", "ctrl-aa", "é"} {
		if _, err := parseKeys(s); err == nil {
			t.Errorf("parseKeys(%q) is no error", s)
		}
	}
}

// FuzzMatcher compares with a search in the whole input: nothing is lost,
// nothing is added, and the first occurrence detaches, however it is cut.
func FuzzMatcher(f *testing.F) {
	f.Add([]byte{16, 17}, []byte("ls\n\x10\x10\x11rest"), uint8(1))
	f.Add([]byte("aab"), []byte("aaaab"), uint8(2))
	f.Add([]byte("abab"), []byte("ababa"), uint8(3))
	f.Add([]byte("aaa"), []byte("aabaa"), uint8(1))
	f.Fuzz(func(t *testing.T, keys, in []byte, cut uint8) {
		if len(keys) == 0 || len(keys) > 16 {
			return
		}
		want, _, detached := bytes.Cut(in, keys)
		m := matcher{keys: keys}
		var got []byte
		n := int(cut)%7 + 1
		found := false
		for rest := in; len(rest) > 0 && !found; {
			piece := rest[:min(n, len(rest))]
			rest = rest[len(piece):]
			var out []byte
			out, found = m.feed(piece)
			got = append(got, out...)
		}
		if !found {
			got = append(got, m.held()...)
		}
		if found != detached || !bytes.Equal(got, want) {
			t.Errorf("keys %q, input %q: got %q %v, want %q %v", keys, in, got, found, want, detached)
		}
	})
}
