package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/template"
)

// Found is an object to inspect: as the client's type and as the daemon sent
// it.
type Found struct {
	Value any
	Raw   json.RawMessage
}

// ErrTemplate is a --format that cannot be parsed.
var ErrTemplate = errors.New("template parsing error")

// Inspect fetches every name and writes all at the end: an indented array, a
// compact one for "json", or a line per object for a template. What can be
// shown is shown; the errors of the others are joined.
func Inspect(w io.Writer, names []string, text string, get func(string) (Found, error)) error {
	var t *template.Template
	if text != "" && text != JSON {
		var err error
		if t, err = Parse(text); err != nil {
			return fmt.Errorf("%w: %w", ErrTemplate, err)
		}
	}
	var (
		errs []error
		raws [][]byte
		out  bytes.Buffer
	)
	for _, name := range names {
		f, err := get(name)
		if err == nil && t != nil {
			err = executeObject(&out, t, f)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		raws = append(raws, bytes.TrimSpace(f.Raw))
	}
	if err := flushInspect(w, t != nil, text, raws, &out); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func flushInspect(w io.Writer, templated bool, text string, raws [][]byte, out *bytes.Buffer) error {
	if templated {
		if out.Len() == 0 {
			out.WriteByte('\n')
		}
		_, err := out.WriteTo(w)
		return err
	}
	all := append(append([]byte{'['}, bytes.Join(raws, []byte{','})...), ']')
	var err error
	if text == JSON {
		err = json.Compact(out, all)
	} else {
		err = json.Indent(out, all, "", "    ")
	}
	if err != nil {
		return fmt.Errorf("unable to read inspect data: %w", err)
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(w)
	return err
}

// executeObject tries the client's type, then the daemon's JSON, which may
// have fields that the client does not know.
func executeObject(out *bytes.Buffer, t *template.Template, f Found) error {
	var b bytes.Buffer
	if err := t.Execute(&b, f.Value); err != nil {
		var raw any
		dec := json.NewDecoder(bytes.NewReader(f.Raw))
		dec.UseNumber()
		if derr := dec.Decode(&raw); derr != nil {
			return fmt.Errorf("unable to read inspect data: %w", derr)
		}
		b.Reset()
		strict, cerr := t.Clone()
		if cerr != nil {
			return cerr
		}
		if err := strict.Option("missingkey=error").Execute(&b, raw); err != nil {
			return fmt.Errorf("template parsing error: %w", err)
		}
	}
	out.Write(b.Bytes())
	out.WriteByte('\n')
	return nil
}
