package monitor

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/berth-engine/berth/sandbox/stage"
	"github.com/berth-engine/berth/sandbox/state"
)

// The JSON of the protocol and of exit.json is written and read by hand: one
// monitor lives beside every container, and package encoding/json would be a
// tenth of its memory. What is written is byte for byte what encoding/json
// makes of the types' tags; tests hold the two together.

var errJSON = errors.New("malformed JSON")

// maxDepth bounds how deep values lie in each other.
const maxDepth = 32

// A Part is a type of the protocol: pointers to Message, Hello, Launch, Exit…
type Part interface{ describe(f *fields) }

// Marshal encodes a part.
func Marshal(p Part) []byte {
	f := fields{out: make([]byte, 0, 256)}
	f.write(p)
	return f.out
}

// Unmarshal decodes a part. Unknown fields are ignored, fields of another type
// are an error.
func Unmarshal(b []byte, p Part) error {
	f := fields{reading: true}
	rest, err := f.read(space(b))
	if err != nil || len(space(rest)) != 0 {
		return errJSON
	}
	p.describe(&f)
	return f.err
}

// fields is an object being written, or one that was read: a description of a
// type by its fields serves both.
type fields struct {
	out     []byte
	some    bool // a field was written
	reading bool
	in      []field
	err     error
}

type field struct {
	name  string
	value []byte // valid JSON
}

func (f *fields) write(p Part) {
	some := f.some
	f.some = false
	f.out = append(f.out, '{')
	p.describe(f)
	f.out = append(f.out, '}')
	f.some = some
}

// key begins a field that is written.
func (f *fields) key(name string) {
	if f.some {
		f.out = append(f.out, ',')
	}
	f.some = true
	f.out = append(state.AppendString(f.out, name), ':')
}

// get finds a field that was read; null is as good as none.
func (f *fields) get(name string) []byte {
	for _, in := range slices.Backward(f.in) { // the last of a name counts
		if in.name == name && string(in.value) != "null" {
			return in.value
		}
	}
	return nil
}

func (f *fields) check(err error) {
	if err != nil && f.err == nil {
		f.err = errJSON
	}
}

// str is a string; as all the others that are omitted when empty if omit is
// set.
func (f *fields) str(name string, v *string, omit bool) {
	switch {
	case f.reading:
		if b := f.get(name); b != nil {
			s, err := unquote(b)
			*v = s
			f.check(err)
		}
	case *v != "" || !omit:
		f.key(name)
		f.out = state.AppendString(f.out, *v)
	}
}

// flag is omitted when false.
func (f *fields) flag(name string, v *bool) {
	switch {
	case f.reading:
		switch string(f.get(name)) {
		case "true":
			*v = true
		case "false":
			*v = false
		case "":
		default:
			f.check(errJSON)
		}
	case *v:
		f.key(name)
		f.out = append(f.out, "true"...)
	}
}

func number[T int | int64](f *fields, name string, v *T, omit bool) {
	switch {
	case f.reading:
		if b := f.get(name); b != nil {
			n, err := strconv.ParseInt(string(b), 10, 64)
			*v = T(n)
			f.check(err)
		}
	case *v != 0 || !omit:
		f.key(name)
		f.out = strconv.AppendInt(f.out, int64(*v), 10)
	}
}

func unsigned[T uint16 | uint64](f *fields, name string, v *T, omit bool) {
	switch {
	case f.reading:
		if b := f.get(name); b != nil {
			n, err := strconv.ParseUint(string(b), 10, 64)
			*v = T(n)
			if uint64(*v) != n {
				err = errJSON
			}
			f.check(err)
		}
	case *v != 0 || !omit:
		f.key(name)
		f.out = strconv.AppendUint(f.out, uint64(*v), 10)
	}
}

func (f *fields) time(name string, v *time.Time) {
	if f.reading {
		if b := f.get(name); b != nil {
			s, err := unquote(b)
			f.check(err)
			*v, err = parseTime(s)
			f.check(err)
		}
		return
	}
	f.key(name)
	f.out = append(f.out, '"')
	f.out = v.AppendFormat(f.out, time.RFC3339Nano)
	f.out = append(f.out, '"')
}

func (f *fields) strs(name string, v *[]string, omit bool) {
	if !f.reading {
		if len(*v) == 0 && omit {
			return
		}
		f.key(name)
		if *v == nil {
			f.out = append(f.out, "null"...)
			return
		}
		f.out = append(f.out, '[')
		for i, s := range *v {
			if i > 0 {
				f.out = append(f.out, ',')
			}
			f.out = state.AppendString(f.out, s)
		}
		f.out = append(f.out, ']')
		return
	}
	f.elements(name, func(b []byte) {
		s, err := unquote(b)
		f.check(err)
		*v = append(*v, s)
	}, func() { *v = []string{} })
}

// elements reads an array: begin is called if there is one.
func (f *fields) elements(name string, element func(b []byte), begin func()) {
	b := f.get(name)
	if b == nil {
		return
	}
	if b[0] != '[' {
		f.check(errJSON)
		return
	}
	begin()
	for b = space(b[1:]); b[0] != ']'; {
		rest, _ := value(b, 0) // it was looked at already
		element(b[:len(b)-len(rest)])
		if b = space(rest); b[0] == ',' {
			b = space(b[1:])
		}
	}
}

// objects is an array of objects.
func objects[T any, P interface {
	*T
	Part
}](f *fields, name string, v *[]T) {
	if f.reading {
		f.elements(name, func(b []byte) {
			var t T
			f.check(Unmarshal(b, P(&t)))
			*v = append(*v, t)
		}, func() { *v = []T{} })
		return
	}
	f.key(name)
	f.out = append(f.out, '[')
	for i := range *v {
		if i > 0 {
			f.out = append(f.out, ',')
		}
		f.write(P(&(*v)[i]))
	}
	f.out = append(f.out, ']')
}

// raw is any value.
func (f *fields) raw(name string, v *[]byte) {
	if f.reading {
		*v = f.get(name)
	} else if len(*v) > 0 {
		f.key(name)
		f.out = append(f.out, *v...)
	}
}

// part is an object within.
func (f *fields) part(name string, p Part) {
	if !f.reading {
		f.key(name)
		f.write(p)
		return
	}
	if b := f.get(name); b != nil {
		f.check(Unmarshal(b, p))
	}
}

// has tells, when reading, whether there is such a field.
func (f *fields) has(name string) bool { return f.reading && f.get(name) != nil }

// plan is the part of stage that travels.
type plan stage.Plan

func (p *plan) describe(f *fields) {
	unsigned(f, "clone", &p.Clone, false)
	f.str("pid_ns", &p.PidNS, true)
	f.str("outside", &p.Outside, true)
	f.strs("groups", &p.Groups, true)
	f.flag("terminal", &p.Terminal)
	f.str("asks", &p.Asks, true)
}
