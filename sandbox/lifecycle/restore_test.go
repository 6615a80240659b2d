package lifecycle

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Places of mounts are made where criu does not make them itself: not in file
// systems that it saves.
func TestPlaces(t *testing.T) {
	spec := &specs.Spec{Mounts: []specs.Mount{
		{Destination: "/proc", Type: "proc"},
		{Destination: "/dev", Type: "tmpfs"},
		{Destination: "/dev/pts", Type: "devpts"},
		{Destination: "/dev/up", Source: "/srv/dev", Options: []string{"bind"}},
		{Destination: "data/", Source: "/srv/data", Options: []string{"rbind"}},
		{Destination: "/data/below", Source: "/srv/below", Type: "bind"},
		{Destination: "/device", Type: "tmpfs"},
	}}
	var got []string
	for _, p := range places(spec) {
		got = append(got, p.Source+">"+p.Destination)
	}
	want := []string{">/proc", ">/dev", "/srv/data>/data", "/srv/below>/data/below", ">/device"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
