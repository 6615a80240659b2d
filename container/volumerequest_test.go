package container

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
)

// Each volume has the options of its own mount, also those that have no name
// yet.
func TestVolumeRequest(t *testing.T) {
	of := func(target, driver, label string) mounttypes.Mount {
		return mounttypes.Mount{Type: mounttypes.TypeVolume, Target: target, VolumeOptions: &mounttypes.VolumeOptions{
			Labels: map[string]string{"l": label}, DriverConfig: &mounttypes.Driver{Name: driver, Options: map[string]string{"o": label}},
		}}
	}
	r := &Record{HostConfig: &container.HostConfig{VolumeDriver: "usual", Mounts: []mounttypes.Mount{of("/a/", "one", "1"), of("/b", "", "2")}}}
	for destination, want := range map[string][2]string{"/a": {"one", "1"}, "/b": {"usual", "2"}, "/c": {"usual", ""}} {
		o := volumeRequest(r, &Mount{Type: mounttypes.TypeVolume, Anonymous: true, Destination: destination})
		if o.Driver != want[0] || o.Labels["l"] != want[1] || o.Options["o"] != want[1] {
			t.Errorf("%s: %+v", destination, o)
		}
	}
}
