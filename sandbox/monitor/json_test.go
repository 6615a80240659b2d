package monitor

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/sandbox/stage"
)

func parts() []Part {
	at := time.Date(2026, 8, 1, 12, 0, 0, 123456700, time.FixedZone("", 3600))
	odd := "a\"\\\n\r\t\b\f\x00\x1f/<>&\u2028\u2029\u00e9\U0001f600\x7f end"
	exit := Exit{Code: -1, Signal: 9, OOMKilled: true, StartedAt: at, FinishedAt: at, Reason: odd, Instance: "i"}
	return []Part{
		&Hello{}, &Hello{Min: 1, Max: 2, Instance: odd}, &Welcome{}, &Welcome{Protocol: 1, Pid: 2, ID: "a", Instance: "b"},
		&Launch{}, &Launch{
			ID: "a", Instance: "b", Dir: "c", StateDir: "d", Durable: true,
			Plan: stage.Plan{Clone: 1<<64 - 1, PidNS: "e", Outside: "o", Groups: []string{"f", odd}, Terminal: true, Asks: "a"}, Files: []string{}, LogDir: "g",
			LogMaxSize: -1 << 63, LogMaxFiles: 3, OpenStdin: true, StdinOnce: true, Runtime: []string{"/r", "--x"}, OOMFile: "h", KillFile: "i", CgroupDirs: []string{"j"}, Calm: 1,
		},
		&Created{}, &Created{Pid: 1, StartTime: 2, Warnings: []string{"a", ""}}, &Started{}, &Started{At: at},
		&Status{}, &Status{State: StateExited, ID: "a", Instance: "b", Pid: 1, StartTime: 2, StartedAt: at, Exit: &exit},
		&Exited{}, &Exited{Exit: exit, Unrecorded: "x"}, &exit, &Signal{Signal: 1}, &Resize{Rows: 1, Cols: 65535},
		&Attach{}, &Attach{Stdin: true, Stdout: true, Stderr: true}, &Error{}, &Error{Kind: "a", Text: "b", ExitCode: 1},
	}
}

// TestJSON holds what is done by hand and encoding/json together.
func TestJSON(t *testing.T) {
	for _, p := range parts() {
		want, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := Marshal(p); !bytes.Equal(got, want) {
			t.Errorf("%T:\n%s\n%s", p, got, want)
		}
		byHand := reflect.New(reflect.TypeOf(p).Elem()).Interface().(Part)
		byLibrary := reflect.New(reflect.TypeOf(p).Elem()).Interface().(Part)
		if err := Unmarshal(want, byHand); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if err := json.Unmarshal(want, byLibrary); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(byHand, byLibrary) {
			t.Errorf("%+v\n%+v", byHand, byLibrary)
		}
		for i := range want {
			if err := Unmarshal(want[:i], byHand); err == nil {
				t.Errorf("%q is enough", want[:i])
			}
		}
	}
	m := &Message{Seq: 1, Op: "x", Body: []byte(`{"a":[1,{"b":null}]}`), Error: &Error{Kind: "k"}}
	got := new(Message)
	if err := Unmarshal(Marshal(m), got); err != nil || !reflect.DeepEqual(m, got) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestJSONFields: every field of every type is described, or its example above
// does not survive; here that none was left out of the examples.
func TestJSONFields(t *testing.T) {
	full := map[reflect.Type]bool{}
	for _, p := range parts() {
		v := reflect.ValueOf(p).Elem()
		all := true
		for _, field := range v.Fields() {
			all = all && !field.IsZero()
		}
		full[v.Type()] = full[v.Type()] || all
	}
	for typ, ok := range full {
		if !ok {
			t.Errorf("%s has no full example", typ)
		}
	}
}

func TestJSONForms(t *testing.T) {
	for text, ok := range map[string]bool{
		` { "code" : 3 , "reason" : "\u00e9\ud83d\ude00\ud83dx\/" , "more" : [ 1 , -0.5e+3 , true , { } , [ ] ] } `: true,
		`{"code":null}`: true, `{}`: true, ``: false, `[]`: false, `{"code":"3"}`: false, `{"code":3.5}`: false, `{"code":01}`: false,
		`{"reason":3}`: false, `{"code":3}}`: false, `{"code":3,}`: false, `{"code" 3}`: false, `{"code":3 "signal":1}`: false,
		`{"reason":"\q"}`: false, `{"reason":"\u12"}`: false, "{\"reason\":\"\n\"}": false, `{"started_at":"x"}`: false, `{"oom_killed":1}`: false,
		`{"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`: false,
	} {
		var got, want Exit
		if err := Unmarshal([]byte(text), &got); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if ok && (json.Unmarshal([]byte(text), &want) != nil || got != want) {
			t.Errorf("%s: %+v, %+v", text, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, p := range parts() {
		f.Add(Marshal(p))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range []Part{new(Status), new(Launch)} {
			if Unmarshal(data, p) != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(p).Elem()).Interface().(Part)
			if err := Unmarshal(Marshal(p), again); err != nil || !bytes.Equal(Marshal(p), Marshal(again)) {
				t.Errorf("%s: %v", Marshal(p), err)
			}
			if !json.Valid(Marshal(p)) {
				t.Errorf("%s", Marshal(p))
			}
		}
	})
}
