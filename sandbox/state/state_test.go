package state

import (
	"encoding/json"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func full() specs.State {
	return specs.State{
		Version: "1.3.0", ID: "a\"b\\\n\t\x00<&>\u2028\xff", Status: specs.StateCreated, Pid: 17, Bundle: "/b",
		Annotations: map[string]string{"z": "1", "a": "ü", "": "\r\b\f"},
	}
}

func TestJSON(t *testing.T) {
	for _, s := range []specs.State{{}, full()} {
		want, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if got := JSON(&s); string(got) != string(want) {
			t.Errorf("%s\n%s", got, want)
		}
	}
	for _, p := range []specs.ContainerProcessState{
		{},
		{Version: "1", Fds: []string{}, State: full()},
		{Version: "1", Fds: []string{specs.SeccompFdName, "x"}, Pid: 5, Metadata: "m\"", State: full()},
	} {
		want, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		if got := ProcessJSON(&p); string(got) != string(want) {
			t.Errorf("%s\n%s", got, want)
		}
	}
	for typ, n := range map[reflect.Type]int{reflect.TypeFor[specs.State](): 6, reflect.TypeFor[specs.ContainerProcessState](): 5} {
		if typ.NumField() != n {
			t.Errorf("%s has %d fields, %d are written", typ, typ.NumField(), n)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f<>&\u2028\u2029\xff\xc3\x28🙂")
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendString(nil, s); string(got) != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
