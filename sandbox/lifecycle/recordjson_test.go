package lifecycle

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What is written by hand is what encoding/json would write, and every field is
// in it.
func TestRecordMarshal(t *testing.T) {
	full := record{
		Version: 1, ID: "id", OCI: "1.2.3", Bundle: "/b \"<&>\u2028", Rootfs: "/r\xff", Pid: 7, StartTime: 1<<64 - 1, Ready: true,
		Created: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), CgroupParent: "/p", CgroupName: "n", OwnPids: true,
		Annotations: map[string]string{"b": "2", "a": "1"}, Streams: []string{"/dev/null", "pipe:[1]"},
	}
	for f, v := range reflect.ValueOf(full).Fields() {
		if v.IsZero() && f.Name != "Unit" && f.Name != "Hooks" && f.Name != "Mount" {
			t.Errorf("%s is not in the example", f.Name)
		}
	}
	systemd, hooked := full, full
	systemd.Unit = &cgroup.Unit{Slice: "s"}
	placed := full
	placed.Mount = &mount.ID{Number: 1, Unique: 2}
	hooked.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/x"}}}
	for _, r := range []record{{}, full, systemd, hooked, placed} {
		want, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.marshal(); err != nil || string(got) != string(want) {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
}
