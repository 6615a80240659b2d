package stage

import "strings"

// words are the constants of the specification with the kernel's numbers. They
// are plain data: a map would be filled at every start.
type words []struct {
	text   string
	number uint64
}

// number returns the number of a word; what it is for is part of the error.
func (w words) number(what, text string) (uint64, error) {
	known := make([]string, len(w))
	for i, e := range w {
		if e.text == text {
			return e.number, nil
		}
		known[i] = e.text
	}
	return 0, invalid("%s %q is not one of %s", what, text, strings.Join(known, ", "))
}
