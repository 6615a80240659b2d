package container

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	nettypes "github.com/moby/moby/api/types/network"
)

// A record is read as it would have been if every member had been written.
func TestSparse(t *testing.T) {
	checkSparse[container.Config](t)
	checkSparse[container.HostConfig](t)
	checkSparse[nettypes.EndpointSettings](t)
}

func checkSparse[T any](t *testing.T) {
	t.Helper()
	var full T
	fill(reflect.ValueOf(&full).Elem())
	// Each member alone, all, and none.
	cases := []T{full, *new(T)}
	for _, m := range membersOf(reflect.TypeFor[T]()) {
		var one T
		reflect.ValueOf(&one).Elem().FieldByIndex(m.index).Set(reflect.ValueOf(full).FieldByIndex(m.index))
		cases = append(cases, one)
	}
	for _, v := range cases {
		long, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		short, err := json.Marshal(sparse[T]{&v})
		if err != nil {
			t.Fatal(err)
		}
		var a, b T
		if err := json.Unmarshal(long, &a); err != nil {
			t.Fatalf("%s: %v", long, err)
		}
		if err := json.Unmarshal(short, &b); err != nil {
			t.Fatalf("%s: %v", short, err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%T: %s\nis not %s", v, short, long)
		}
	}
	if none, _ := json.Marshal(sparse[T]{new(T)}); !bytes.Equal(none, []byte("{}")) {
		t.Errorf("%T: nothing is %s", full, none)
	}
}

// fill gives every member a value that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.7")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
		return
	case nettypes.Port:
		v.Set(reflect.ValueOf(nettypes.MustParsePort("80/tcp")))
		return
	case nettypes.HardwareAddr:
		v.Set(reflect.ValueOf(nettypes.HardwareAddr{2, 0, 0, 0, 0, 1}))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer: // to zero: "no" is not "unset"
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	}
}
