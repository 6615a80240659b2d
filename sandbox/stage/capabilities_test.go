package stage

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestCapabilities: all five sets are exactly as asked for; what cannot be
// granted is a warning.
func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		name string
		uid  uint32
		caps *specs.LinuxCapabilities
		// Inheritable, permitted, effective, bounding, ambient, after execve.
		want     [5]string
		warnings []string
	}{
		{"none", 0, nil, [5]string{"0", "0", "0", "0", "0"}, nil},
		{
			"root gets what is bounding", 0, &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}},
			[5]string{"0", "21", "21", "21", "0"},
			nil,
		},
		{
			"a user's are gone with execve", 1000, &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}},
			[5]string{"0", "0", "0", "1", "0"},
			nil,
		},
		{"but for ambient ones", 1000, &specs.LinuxCapabilities{
			Bounding: []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}, Permitted: []string{"CAP_CHOWN", "CAP_KILL"}, Effective: []string{"CAP_KILL"},
			Inheritable: []string{"CAP_KILL", "CAP_CHOWN"}, Ambient: []string{"CAP_KILL"},
		}, [5]string{"21", "20", "20", "2021", "20"}, nil},
		{"beyond what may be", 1000, &specs.LinuxCapabilities{
			Bounding: []string{"CAP_KILL", "CAP_X"}, Permitted: []string{"CAP_KILL", "KILL"}, Effective: []string{"CAP_KILL", "CAP_CHOWN"},
			Inheritable: []string{"CAP_NET_RAW", "CAP_KILL"}, Ambient: []string{"CAP_NET_RAW", "CAP_KILL"},
		}, [5]string{"20", "20", "20", "20", "20"}, []string{
			"capability CAP_X is unknown and was left out", "capability KILL is unknown and was left out",
			"capability CAP_CHOWN is not in the permitted set and was left out",
			"capability CAP_NET_RAW is not in the bounding set and was left out",
			"capability CAP_NET_RAW is not in the permitted and the inheritable set and was left out",
		}},
	} {
		spec := defaultSpec("/probe", "report")
		spec.Process.User.UID, spec.Process.Capabilities = c.uid, c.caps
		b := newBox(t, spec)
		r := b.report()
		for i, name := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			want := "0000000000000000"[len(c.want[i]):] + c.want[i]
			if r.Status[name] != want {
				t.Errorf("%s: %s %s, want %s", c.name, name, r.Status[name], want)
			}
		}
		if !reflect.DeepEqual(b.process.Warnings, c.warnings) {
			t.Errorf("%s: %q", c.name, b.process.Warnings)
		}
	}
}
