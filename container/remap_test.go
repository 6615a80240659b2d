package container

import (
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/ns"
)

func TestRemapIDs(t *testing.T) {
	m := &Remap{
		UIDs: []ns.IDMap{{Inside: 0, Outside: 1000, Size: 10}, {Inside: 10, Outside: 5000, Size: 5}},
		GIDs: []ns.IDMap{{Inside: 0, Outside: 2000, Size: 20}},
	}
	for _, c := range [][4]int{{0, 0, 1000, 2000}, {9, 19, 1009, 2019}, {10, 1, 5000, 2001}, {14, 0, 5004, 2000}} {
		if uid, gid := m.ToHost(c[0], c[1]); uid != c[2] || gid != c[3] {
			t.Errorf("%v: %d:%d", c, uid, gid)
		}
		if uid, gid := m.fromHost(c[2], c[3]); uid != c[0] || gid != c[1] {
			t.Errorf("%v: back: %d:%d", c, uid, gid)
		}
	}
	// What has no meaning on the other side never becomes somebody's.
	if uid, gid := m.ToHost(15, 20); uid != -1 || gid != -1 {
		t.Errorf("%d:%d", uid, gid)
	}
	if uid, gid := m.fromHost(0, 1000); uid != overflow || gid != overflow {
		t.Errorf("%d:%d", uid, gid)
	}
	if uid, gid := (*Remap)(nil).ToHost(7, 8); uid != 7 || gid != 8 {
		t.Errorf("%d:%d", uid, gid)
	}
}

func TestCheckRemap(t *testing.T) {
	for want, h := range map[string]container.HostConfig{
		"":                             {},
		"privileged mode":              {Privileged: true},
		"the host's network namespace": {NetworkMode: "host"},
		"the host PID namespace":       {PidMode: "host"},
		"invalid user namespace mode":  {UsernsMode: "private"},
	} {
		err := (&Service{remap: &Remap{}}).checkRemap(&h)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
		if h.UsernsMode = "host"; (&Service{remap: &Remap{}}).checkRemap(&h) != nil || (&Service{}).checkRemap(&h) != nil {
			t.Errorf("%+v is refused", h)
		}
	}
}

// The user namespace of another process is taken only if it is that of a
// container's, with the same mappings.
func TestRemapOf(t *testing.T) {
	m := &Remap{UIDs: []ns.IDMap{{Inside: 0, Outside: 1000, Size: 10}}, GIDs: []ns.IDMap{{Inside: 0, Outside: 1000, Size: 10}}}
	if f := m.of(os.Getpid(), "/"); f != nil {
		t.Error("our own is taken")
		f.Close()
	}
}
