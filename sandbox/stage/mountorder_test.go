package stage

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mounts are seen in the listed order, although sources of bind mounts are
// opened before anything is mounted.
func TestMountOrder(t *testing.T) {
	noLeak(t)
	host := t.TempDir()
	spec := defaultSpec("/probe", "report")
	spec.Mounts = append(spec.Mounts,
		bindMount(host, "/first", "rw"),
		specs.Mount{Type: "tmpfs", Destination: "/second"},
		bindMount(host, "/second/a", "ro"),
		specs.Mount{Type: "tmpfs", Destination: "/tmp"},
		specs.Mount{Type: "tmpfs", Destination: "/etc", Options: []string{"ro", "tmpcopyup"}},
		bindMount(host, "/last", "rslave"))
	b := newBox(t, spec)
	var want, got []string
	for _, m := range spec.Mounts {
		want = append(want, m.Destination)
	}
	for _, line := range b.report().Mounts {
		if point := strings.Fields(line)[4]; slices.Contains(want, point) && !slices.Contains(got, point) {
			got = append(got, point)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nlisted: %q", got, want)
	}
}

// A tmpfs has the mode of what it covers, whichever way it was made; one that
// was made late comes behind the copy of what earlier entries mount.
func TestTmpfsMode(t *testing.T) {
	noLeak(t)
	rootfs := "/nowhere/rootfs"
	spec := defaultSpec("/probe", "stat", "/tmp", "/etc", "/own/inner")
	spec.Root.Path = rootfs
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Type: "tmpfs", Destination: "/tmp"},
		specs.Mount{Type: "tmpfs", Destination: "/tmp/inner", Options: []string{"mode=0711"}},
		bindMount(filepath.Join(rootfs, "tmp"), "/own"),
		specs.Mount{Type: "tmpfs", Destination: "/etc"})
	out, code := newBox(t, spec).run()
	if out != "/tmp 41777 0:0\n/etc 40755 0:0\n/own/inner 40711 0:0\n" || code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
}
