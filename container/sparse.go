package container

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
)

// encodeRecord is a record as it lies on the disk. What is zero in the API's
// large structures is left out: that is most of them, and an engine that starts
// reads all records.
func encodeRecord(r *Record) ([]byte, error) {
	type (
		plain     Record // shadowed below, member by member
		plainEdit Edit
		edit      struct {
			*plainEdit
			Config     sparse[container.Config]     `json:",omitzero"`
			HostConfig sparse[container.HostConfig] `json:",omitzero"`
		}
	)
	out := struct {
		*plain
		Config     sparse[container.Config]
		HostConfig sparse[container.HostConfig]
		Endpoints  map[string]sparse[nettypes.EndpointSettings] `json:",omitzero"`
		Edit       *edit                                        `json:",omitempty"`
	}{plain: (*plain)(r), Config: sparse[container.Config]{r.Config}, HostConfig: sparse[container.HostConfig]{r.HostConfig}}
	if e := r.Edit; e != nil {
		out.Edit = &edit{(*plainEdit)(e), sparse[container.Config]{e.Config}, sparse[container.HostConfig]{e.HostConfig}}
	}
	if r.Endpoints != nil {
		out.Endpoints = make(map[string]sparse[nettypes.EndpointSettings], len(r.Endpoints))
		for name, e := range r.Endpoints {
			out.Endpoints[name] = sparse[nettypes.EndpointSettings]{e}
		}
	}
	return json.Marshal(out)
}

// sparse writes a structure without the members that decoding would leave as
// they are: T's zero values. It knows the tags that the API's types have, which
// are names, omitempty and omitzero.
type sparse[T any] struct{ v *T }

// MarshalJSON writes what is not zero.
func (s sparse[T]) MarshalJSON() ([]byte, error) {
	if s.v == nil {
		return []byte("null"), nil
	}
	v := reflect.ValueOf(s.v).Elem()
	var b bytes.Buffer
	b.WriteByte('{')
	for _, m := range membersOf(v.Type()) {
		f := v.FieldByIndex(m.index)
		if f.IsZero() || m.omitEmpty && empty(f) {
			continue
		}
		value, err := encodeMember(f.Interface())
		if err != nil {
			return nil, err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(m.name)
		b.WriteString(`":`)
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// empty is what omitempty means besides zero.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	default:
		return false
	}
}

// member is a member of a structure in JSON.
type member struct {
	index     []int
	name      string
	omitEmpty bool
}

var memberLists sync.Map // reflect.Type → []member

// membersOf lists the members, those of embedded structures too.
func membersOf(t reflect.Type) []member {
	if list, ok := memberLists.Load(t); ok {
		return list.([]member)
	}
	var list []member
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		if f.Anonymous && tag == "" || !f.IsExported() || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		list = append(list, member{index: f.Index, name: name, omitEmpty: strings.Contains(options, "omitempty")})
	}
	memberLists.Store(t, list)
	return list
}
