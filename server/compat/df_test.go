package compat

import (
	"encoding/json"
	"testing"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// TestDiskUsage: three forms of one answer; what was not asked for is not there.
func TestDiskUsage(t *testing.T) {
	for _, tc := range []struct {
		minor   int
		verbose bool
		want    string
	}{
		{41, false, `{"LayersSize":7,"Images":[],"Containers":null,"Volumes":[{"Driver":"","Labels":null,"Mountpoint":"","Name":"v","Options":null,"Scope":""}],"BuildCache":null,"BuilderSize":0}`},
		{51, true, `{"LayersSize":7,"Images":[],"Containers":null,"Volumes":[{"Driver":"","Labels":null,"Mountpoint":"","Name":"v","Options":null,"Scope":""}],"BuildCache":null}`},
		{52, false, `{"LayersSize":7,"Images":[],"Containers":null,"Volumes":[{"Driver":"","Labels":null,"Mountpoint":"","Name":"v","Options":null,"Scope":""}],"BuildCache":null,"ImageUsage":{"TotalSize":7},"VolumeUsage":{"TotalCount":1}}`},
		{53, false, `{"ImageUsage":{"TotalSize":7},"VolumeUsage":{"TotalCount":1}}`},
		{52, true, `{"ImageUsage":{"TotalSize":7},"VolumeUsage":{"Items":[{"Driver":"","Labels":null,"Mountpoint":"","Name":"v","Options":null,"Scope":""}],"TotalCount":1}}`},
	} {
		du := system.DiskUsage{ImageUsage: &image.DiskUsage{TotalSize: 7}, VolumeUsage: &volume.DiskUsage{TotalCount: 1, Items: []volume.Volume{{Name: "v"}}}}
		got, err := json.Marshal(DiskUsage(Version{1, tc.minor}, du, tc.verbose))
		if err != nil || string(got) != tc.want {
			t.Errorf("1.%d verbose=%v:\n%s\n%s %v", tc.minor, tc.verbose, got, tc.want, err)
		}
	}
}
