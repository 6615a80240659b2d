package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Check tells what is wrong with an answer. The body of a stream may hold
// several values, each of which is checked; an empty body has none.
func (s *Spec) Check(method, path string, status int, contentType string, body []byte) []error {
	r := s.find(method, path)
	if r == nil {
		return []error{fmt.Errorf("%s %s: no such operation in the specification", method, path)}
	}
	code := strconv.Itoa(status)
	schema, known := r.responses[code]
	if !known {
		return []error{fmt.Errorf("%s: status %d is not in the specification", r.name, status)}
	}
	if schema == nil || !strings.HasPrefix(contentType, "application/json") && !strings.HasPrefix(contentType, "application/x-ndjson") &&
		!strings.HasPrefix(contentType, "application/json-seq") {
		return nil
	}
	compiled, err := s.compile(key(r.name, code))
	if err != nil {
		return []error{err}
	}
	var errs []error
	for d := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(body, []byte{0x1e}, nil))); ; {
		d.UseNumber()
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return errs
		} else if err != nil {
			return append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
		for _, e := range failures(compiled.Validate(v)) {
			errs = append(errs, fmt.Errorf("%s %d: %w", r.name, status, e))
		}
	}
}

func (s *Spec) compile(key string) (*jsonschema.Schema, error) {
	if c := s.schemas[key]; c != nil {
		return c, nil
	}
	c, err := s.compiler.Compile(root + "#/responses/" + key)
	if err != nil {
		return nil, err
	}
	s.schemas[key] = c
	return c, nil
}

// failures are the innermost reasons, in the form "/path: reason". Elements of
// lists and keys of maps are * in the path.
func failures(err error) []error {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		if err != nil {
			return []error{err}
		}
		return nil
	}
	if len(v.Causes) == 0 {
		// Of "null or T", that it is not null says nothing.
		if t, ok := v.ErrorKind.(*kind.Type); ok && slices.Equal(t.Want, []string{"null"}) {
			return nil
		}
		return []error{fmt.Errorf("/%s: %s", strings.Join(v.InstanceLocation, "/"), reason(v))}
	}
	var all []error
	for _, c := range v.Causes {
		all = append(all, failures(c)...)
	}
	return all
}

func reason(v *jsonschema.ValidationError) string {
	text := v.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}
