package lifecycle

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// same compares unmarshal with encoding/json, and tells whether it did the work
// itself.
func same(t *testing.T, text []byte) (fast bool) {
	t.Helper()
	var got, want, read specs.Spec
	err, wantErr := unmarshal(text, &got), json.Unmarshal(text, &want)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("%q: %v instead of %v", text, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\n%+v\n%+v", text, got, want)
	}
	r := jsonReader{b: text}
	r.space()
	return r.value(reflect.ValueOf(&read).Elem(), 0) == nil
}

func TestUnmarshal(t *testing.T) {
	text, err := json.Marshal(Example())
	if err != nil {
		t.Fatal(err)
	}
	if !same(t, text) {
		t.Error("the example is not read the fast way")
	}
	for _, text := range []string{
		`{}`, ` { "ociVersion" : "1.0.2" , "process" : null } `, `{"OCIVERSION":"1"}`, `{"unknown":{"a":[1,2,{}]}}`,
		`{"ociVersion":"a\"b\\c\/d"}`, `{"ociVersion":"\u00e9\n"}`, "{\"ociVersion\":\"\xff\"}", `{"ociVersion":1}`, `{"ociVersion":"1"`, `{"ociVersion":"1"}x`,
		`{"process":{"user":{"uid":4294967296}}}`, `{"process":{"user":{"uid":-1}}}`, `{"process":{"user":{"uid":1.0}}}`, `{"process":{"user":{"uid":01}}}`, `{"process":{"user":{"uid":1e1}}}`,
		`{"process":{"args":null,"env":[]}}`, `{"process":{"args":["a",null,"b"]}}`, `{"annotations":{"a":"b","a":"c"}}`, `{"mounts":[{"options":["a"]},{"type":"x"}]}`,
		`{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":1,"minor":2,"weight":3}]}}}}`, `{"linux":{"devices":[{"fileMode":438,"uid":1}]}}`,
		`{"hooks":{"prestart":[{"path":"/x","timeout":3}]}}`, `[]`, ``, `null`, `{"root":{"path":"a","readonly":tru}}`, `{"root":[]}`,
	} {
		same(t, []byte(text))
	}
}

func FuzzUnmarshal(f *testing.F) {
	text, err := json.Marshal(Example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"process":{"args":["a",null],"user":{"uid":1}},"annotations":{"a":"\u0041"}}`))
	f.Fuzz(func(t *testing.T, text []byte) { same(t, text) })
}

func BenchmarkUnmarshalOnce(b *testing.B) { // without what encoding/json remembers, only ours is honest
	text, err := os.ReadFile("testdata/config.json")
	if err != nil {
		text, _ = json.Marshal(Example())
	}
	for b.Loop() {
		var s specs.Spec
		if err := unmarshal(text, &s); err != nil {
			b.Fatal(err)
		}
	}
}
