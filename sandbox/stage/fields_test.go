package stage

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// elsewhere are the fields of a Spec that do not reach the stage, and whose
// they are. A name stands for all that is below it.
var elsewhere = map[string]string{
	"Version":                       "of the document",
	"Annotations":                   "Config.State has them",
	"Solaris":                       "another platform",
	"Windows":                       "another platform",
	"VM":                            "another platform",
	"ZOS":                           "another platform",
	"FreeBSD":                       "another platform",
	"Process.CommandLine":           "another platform",
	"Process.User.Username":         "another platform",
	"Linux.Resources":               "kernel/cgroup",
	"Linux.CgroupsPath":             "kernel/cgroup",
	"Linux.Seccomp.DefaultAction":   "sandbox/seccomp",
	"Linux.Seccomp.DefaultErrnoRet": "sandbox/seccomp",
	"Linux.Seccomp.Architectures":   "sandbox/seccomp",
	"Linux.Seccomp.Syscalls":        "sandbox/seccomp",
}

// TestEveryField sets the fields of the specification one by one. Each must
// reach the stage, be refused, or be somebody else's: none is silently
// ignored. A new version of the specification must be looked at.
func TestEveryField(t *testing.T) {
	used := map[string]bool{}
	for _, leaf := range leaves(reflect.TypeFor[specs.Spec](), nil) {
		path := leaf.String()
		if owner := ownerOf(path); owner != "" {
			used[owner] = true
			continue
		}
		spec := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
		leaf.set(reflect.ValueOf(spec).Elem())
		if travels(t, spec) || refused(leaf) {
			continue
		}
		t.Errorf("%s is lost on the way to the stage, and not refused", path)
	}
	for name := range elsewhere {
		if !used[name] {
			t.Errorf("%s is not a field", name)
		}
	}
}

func ownerOf(path string) string {
	for name := range elsewhere {
		if path == name || strings.HasPrefix(path, name+".") {
			return name
		}
	}
	return ""
}

func travels(t *testing.T, spec *specs.Spec) bool {
	t.Helper()
	o := order{Config: Config{Spec: spec}}
	var got order
	if err := decode(encode(o.describe), got.describe); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(got.Spec, spec)
}

func refused(l leaf) bool {
	spec := defaultSpec("/x")
	l.set(reflect.ValueOf(spec).Elem())
	_, _, err := Prepare(&Config{Spec: spec, State: &specs.State{}}, false)
	return errors.As(err, new(*NotImplementedError)) || errors.As(err, new(*InvalidSpecError))
}

// A leaf is a way through structures, by number of field, to something
// without any. Lists and maps are gone through by one element.
type leaf []reflect.StructField

func (l leaf) String() string {
	names := make([]string, len(l))
	for i, f := range l {
		names[i] = f.Name
	}
	return strings.Join(names, ".")
}

func leaves(typ reflect.Type, above leaf) (out []leaf) {
	for f := range typ.Fields() {
		way := append(append(leaf{}, above...), f)
		elem := f.Type
		for elem.Kind() == reflect.Pointer || elem.Kind() == reflect.Slice || elem.Kind() == reflect.Map {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct {
			out = append(out, leaves(elem, way)...)
		} else {
			out = append(out, way)
		}
	}
	return out
}

// set gives the leaf below v a value.
func (l leaf) set(v reflect.Value) { fill(v.FieldByIndex(l[0].Index), l[1:]) }

func fill(v reflect.Value, rest leaf) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), rest)
	case reflect.Slice:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, rest)
		v.Set(reflect.Append(v, e))
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, rest)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case reflect.Struct:
		rest.set(v)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	default:
		panic(v.Kind().String())
	}
}
