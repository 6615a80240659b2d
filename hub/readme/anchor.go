package readme

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/yuin/goldmark/ast"
)

// anchor gives headings identifiers as GitHub does, with a prefix, and points
// links within the README to them.
func anchor(doc ast.Node, source []byte) error {
	seen := map[string]int{}
	return ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			id := slug(words(n, source))
			if times := seen[id]; times > 0 {
				seen[id]++
				id = fmt.Sprintf("%s-%d", id, times)
			} else {
				seen[id] = 1
			}
			n.SetAttributeString("id", []byte(prefix+id))
		case *ast.Link:
			if fragment, found := bytes.CutPrefix(n.Destination, []byte("#")); found {
				n.Destination = append([]byte("#"+prefix), bytes.ToLower(fragment)...)
			}
		}
		return ast.WalkContinue, nil
	})
}

// words is the text of a heading.
func words(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
		} else {
			b.WriteString(words(c, source))
		}
	}
	return b.String()
}

func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case unicode.IsLetter(r) || unicode.IsNumber(r) || r == '-' || r == '_':
			b.WriteRune(r)
		case unicode.IsSpace(r):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	if b.Len() == 0 {
		return "section"
	}
	return b.String()
}
