package format

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"
)

// Header maps a row's field to the title of its column.
type Header map[string]string

// Label is the title of a column made with {{.Label "name"}}: the last part
// of the name, with blanks for dashes.
func (Header) Label(name string) string {
	return strings.NewReplacer("-", " ", "_", " ").Replace(name[strings.LastIndexByte(name, '.')+1:])
}

// List writes rows in a format: "table TEMPLATE", "json", or a template. The
// backslash sequences \t and \n are understood, as users quote formats in
// shells.
func List[R any](w io.Writer, text string, header Header, rows []R) error {
	body, isTable := strings.CutPrefix(text, Table)
	if !isTable && text == JSON {
		body = "{{json .}}"
	}
	body = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.Trim(body, " "))
	t, err := Parse(body)
	if err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	var b bytes.Buffer
	for _, r := range rows {
		if err := t.Execute(&b, r); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
		b.WriteByte('\n')
	}
	if !isTable {
		_, err = w.Write(b.Bytes())
		return err
	}
	return writeTable(w, t, header, b.Bytes())
}

func writeTable(w io.Writer, t *template.Template, header Header, rows []byte) error {
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	var head bytes.Buffer
	// A header that a template cannot be applied to (it calls a method with
	// an argument, say) leaves the rows; so does Docker.
	_ = t.Funcs(headerFunctions()).Execute(&head, header)
	if _, err := tw.Write(append(head.Bytes(), '\n')); err != nil {
		return err
	}
	if _, err := tw.Write(rows); err != nil {
		return err
	}
	return tw.Flush()
}

// Fields is the object that JSON output shows of a row: the results of its
// exported methods without arguments.
func Fields(row any) map[string]any {
	v := reflect.ValueOf(row)
	out := map[string]any{}
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		if m.Type.NumIn() != 1 || m.Type.NumOut() != 1 || m.Name == "MarshalJSON" {
			continue
		}
		out[m.Name] = v.Method(i).Call(nil)[0].Interface()
	}
	return out
}

// Uses tells whether a template reads the named field.
func Uses(text, field string) bool {
	t, err := Parse(strings.TrimPrefix(text, Table))
	if err != nil {
		return false
	}
	for _, n := range []string{"." + field + "}", "." + field + " ", "." + field + ")", "." + field + "|"} {
		if strings.Contains(t.Root.String(), n) {
			return true
		}
	}
	return text == JSON || strings.Contains(t.Root.String(), "json .}")
}
