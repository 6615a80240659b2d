package lifecycle

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unmarshal is json.Unmarshal into a pointer to a zero struct, several times as
// fast for a type as wide as specs.Spec of which a text uses a tenth:
// encoding/json first studies all of it, which takes as long as reading a
// configuration of ten kilobytes. What is unusual is left to encoding/json, as
// is the verdict on what is wrong.
func unmarshal(data []byte, to any) error {
	into := reflect.ValueOf(to).Elem()
	r := jsonReader{b: data}
	r.space()
	err := r.value(into, 0)
	if r.space(); err == nil && r.i == len(r.b) && utf8.Valid(data) {
		return nil
	}
	into.SetZero()
	return json.Unmarshal(data, to)
}

var errSlow = errors.New("for encoding/json")

// maxDepth is far above that of any configuration.
const maxDepth = 64

// jsonReader reads one text. Every error is errSlow.
type jsonReader struct {
	b      []byte
	i      int
	fields map[reflect.Type][]jsonField
}

type jsonField struct {
	name  string
	index int
}

func (r *jsonReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// next takes c, with space around it.
func (r *jsonReader) next(c byte) bool {
	r.space()
	if r.i < len(r.b) && r.b[r.i] == c {
		r.i++
		r.space()
		return true
	}
	return false
}

func (r *jsonReader) word(w string) bool {
	if strings.HasPrefix(string(r.b[r.i:min(len(r.b), r.i+len(w))]), w) {
		r.i += len(w)
		return true
	}
	return false
}

func (r *jsonReader) value(v reflect.Value, depth int) error {
	if depth > maxDepth || r.i >= len(r.b) {
		return errSlow
	}
	if r.b[r.i] == 'n' {
		if !r.word("null") {
			return errSlow
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			v.SetZero()
		default: // null leaves it
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return r.value(v.Elem(), depth+1)
	case reflect.Struct:
		return r.object(func(key string) error { return r.member(v, key, depth) })
	case reflect.Map:
		return r.mapping(v, depth)
	case reflect.Slice:
		return r.list(v, depth)
	case reflect.String:
		s, err := r.str()
		v.SetString(s)
		return err
	case reflect.Bool:
		switch {
		case r.word("true"):
			v.SetBool(true)
		case r.word("false"):
			v.SetBool(false)
		default:
			return errSlow
		}
		return nil
	default:
		return r.number(v)
	}
}

// object calls member for each key; member reads the value.
func (r *jsonReader) object(member func(key string) error) error {
	if !r.next('{') {
		return errSlow
	}
	if r.next('}') {
		return nil
	}
	for {
		key, err := r.str()
		if err != nil || !r.next(':') {
			return errSlow
		}
		if err := member(key); err != nil {
			return err
		}
		if r.next('}') {
			return nil
		}
		if !r.next(',') {
			return errSlow
		}
	}
}

func (r *jsonReader) member(v reflect.Value, key string, depth int) error {
	for _, f := range r.of(v.Type()) {
		if f.name == key {
			return r.value(v.Field(f.index), depth+1)
		}
	}
	// Unknown, in another case, or of an embedded struct: rare in what programs
	// write.
	return errSlow
}

// of lists the fields of a struct type, but not the embedded ones.
func (r *jsonReader) of(t reflect.Type) []jsonField {
	if f, ok := r.fields[t]; ok {
		return f
	}
	var list []jsonField
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" || strings.Contains(options, "string") {
			continue
		}
		list = append(list, jsonField{name, i})
	}
	if r.fields == nil {
		r.fields = map[reflect.Type][]jsonField{}
	}
	r.fields[t] = list
	return list
}

func (r *jsonReader) mapping(v reflect.Value, depth int) error {
	if v.Type().Key().Kind() != reflect.String {
		return errSlow
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	return r.object(func(key string) error {
		e := reflect.New(v.Type().Elem()).Elem()
		err := r.value(e, depth+1)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
		return err
	})
}

func (r *jsonReader) list(v reflect.Value, depth int) error {
	if v.Type().Elem().Kind() == reflect.Uint8 || !r.next('[') {
		return errSlow // bytes are in base64
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	if r.next(']') {
		return nil
	}
	for {
		n := v.Len()
		if n == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(n + 1)
		e := v.Index(n)
		e.SetZero()
		if err := r.value(e, depth+1); err != nil {
			return err
		}
		if r.next(']') {
			return nil
		}
		if !r.next(',') {
			return errSlow
		}
	}
}

// str reads a string without escapes but \", \\ and \/.
func (r *jsonReader) str() (string, error) {
	if r.i >= len(r.b) || r.b[r.i] != '"' {
		return "", errSlow
	}
	r.i++
	start := r.i
	var out []byte
	for ; r.i < len(r.b); r.i++ {
		switch c := r.b[r.i]; {
		case c == '"':
			s := r.b[start:r.i]
			if out != nil {
				s = append(out, s...)
			}
			r.i++
			return string(s), nil
		case c == '\\':
			if r.i+1 == len(r.b) || !strings.ContainsRune(`"\/`, rune(r.b[r.i+1])) {
				return "", errSlow
			}
			out = append(out, r.b[start:r.i]...)
			r.i++
			start = r.i
		case c < ' ':
			return "", errSlow
		}
	}
	return "", errSlow
}

// number reads an integer.
func (r *jsonReader) number(v reflect.Value) error {
	start := r.i
	for r.i < len(r.b) && (r.b[r.i] == '-' || '0' <= r.b[r.i] && r.b[r.i] <= '9') {
		r.i++
	}
	text := string(r.b[start:r.i])
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' || r.i < len(r.b) && strings.IndexByte(".eE", r.b[r.i]) >= 0 {
		return errSlow
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	default:
		return errSlow
	}
}
