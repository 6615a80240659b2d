package api

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// encoded is b by encoding/json, without escaping HTML.
func encoded(t testing.TB, b *ContainerBrief) string {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

var briefs = []ContainerBrief{
	{},
	{ID: "1", Names: []string{"/a"}, Image: "busybox", Command: "sh -c 'a < b'", Created: -1, State: container.StateRunning, Status: "Up 2 seconds"},
	{
		ID: "2", Names: []string{"/b", "/a/b"}, Image: "sha256:1", ImageID: "sha256:1", Command: "echo \"\\é\u2028\x01\xff", Created: 1 << 40, SizeRw: 3, SizeRootFs: 4,
		Ports: []container.PortSummary{
			{IP: netip.MustParseAddr("0.0.0.0"), PrivatePort: 80, PublicPort: 65535, Type: "tcp"}, {IP: netip.MustParseAddr("::1%eth0"), Type: "udp"}, {PrivatePort: 9},
		},
	},
}

// TestBriefJSON: it is what encoding/json makes of it, both ways.
func TestBriefJSON(t *testing.T) {
	for _, b := range briefs {
		want := encoded(t, &b)
		if got := string(b.AppendJSON(nil)); got != want {
			t.Errorf("%s\ninstead of %s", got, want)
		}
		var got, std ContainerBrief
		if err := json.Unmarshal([]byte(want), &std); err != nil {
			t.Fatal(err)
		}
		if err := got.ReadJSON([]byte(want)); err != nil || !reflect.DeepEqual(got, std) {
			t.Errorf("%+v\ninstead of %+v, %v", got, std, err)
		}
	}
	if r := (briefReader{rest: encoded(t, &briefs[1])}); true {
		if _, ok := r.row(); !ok {
			t.Error("the usual one is read by reflection")
		}
	}
}

func FuzzBriefJSON(f *testing.F) {
	for _, b := range briefs {
		f.Add([]byte(encoded(f, &b)))
	}
	f.Add([]byte(`{"Id":"1","Names":["/a"],"Image":"","Command":"","Created":1,"Ports":[{"IP":"","PrivatePort":65536,"Type":""}],"State":"","Status":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want ContainerBrief
		gotErr, wantErr := got.ReadJSON(text), json.Unmarshal(text, &want)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v\ninstead of %+v, %v", text, got, gotErr, want, wantErr)
		}
		if wantErr == nil && string(want.AppendJSON(nil)) != encoded(t, &want) {
			t.Errorf("%s\ninstead of %s", want.AppendJSON(nil), encoded(t, &want))
		}
	})
}
