package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
)

// JSON is the format word for one JSON object a line.
const JSON = "json"

// Table is the format word for aligned columns with headers; a template of
// the columns may follow it.
const Table = "table"

// Parse reads a template of a user, with Docker's functions.
func Parse(text string) (*template.Template, error) {
	return template.New("").Funcs(functions()).Parse(text)
}

func functions() template.FuncMap {
	return template.FuncMap{
		"json":     marshal,
		"split":    strings.Split,
		"join":     strings.Join,
		"title":    title,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"truncate": truncate,
	}
}

// headerFunctions leave a column's header as it is where functions would
// change the value; pad still aligns.
func headerFunctions() template.FuncMap {
	same := func(s string) string { return s }
	return template.FuncMap{
		"json":     same,
		"split":    func(s, _ string) string { return s },
		"join":     func(s, _ string) string { return s },
		"title":    same,
		"lower":    same,
		"upper":    same,
		"truncate": func(s string, _ int) string { return s },
	}
}

func marshal(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// title raises the first letter of every word, for ASCII.
func title(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && (i == 0 || !isWord(b[i-1])) {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func isWord(c byte) bool {
	return c == '_' || c == '\'' || c >= 0x80 ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

func truncate(s string, n int) string {
	if n < 0 || len(s) < n {
		return s
	}
	return s[:n]
}

// Object writes one value by a template, or as JSON for the word "json", and
// ends the line.
func Object(w io.Writer, text string, v any) error {
	if text == JSON {
		text = "{{json .}}"
	}
	t, err := Parse(text)
	if err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	b.WriteByte('\n')
	_, err = w.Write(b.Bytes())
	return err
}
