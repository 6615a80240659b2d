package format

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"
	"text/template/parse"
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
	write := func(r R) error { return t.Execute(&b, r) }
	if columns, ok := plainColumns[R](t); ok {
		write = func(r R) error {
			for _, c := range columns {
				b.WriteString(c(r))
			}
			return nil
		}
	}
	for _, r := range rows {
		if err := write(r); err != nil {
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
	out := bufio.NewWriterSize(w, 64<<10) // the tabwriter writes cell by cell
	tw := tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)
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
	if err := tw.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

// plainColumns are the pieces of a template that has only text and fields that
// are texts, as all default formats have. Executing a template takes a
// microsecond for each field of each row; these take nothing.
func plainColumns[R any](t *template.Template) (columns []func(R) string, ok bool) {
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			columns = append(columns, func(R) string { return string(n.Text) })
			continue
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 && len(n.Pipe.Cmds) == 1 && len(n.Pipe.Cmds[0].Args) == 1 {
				f, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
				if !ok || len(f.Ident) != 1 {
					return nil, false
				}
				m, ok := reflect.TypeFor[R]().MethodByName(f.Ident[0])
				if !ok {
					return nil, false
				}
				call, ok := reflect.TypeAssert[func(R) string](m.Func)
				if !ok {
					return nil, false
				}
				columns = append(columns, call)
				continue
			}
		}
		return nil, false
	}
	return columns, true
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
