package compat

import (
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// legacyUsage is GET /system/df before 1.52, and beside the new form in 1.52.
// An object that was not asked for is null.
type legacyUsage struct {
	LayersSize  int64
	Images      any
	Containers  any
	Volumes     []volume.Volume
	BuildCache  []build.CacheRecord
	BuilderSize *int64 `json:",omitempty"` // until 1.41

	*system.DiskUsage `json:",omitempty"`
}

// DiskUsage is the answer of a version. From 1.52 on, lists are given to those
// who ask for them (verbose).
func DiskUsage(v Version, du system.DiskUsage, verbose bool) any {
	old := legacyUsage{}
	if du.ImageUsage != nil {
		old.LayersSize = du.ImageUsage.TotalSize
		old.Images = listImages(v, append([]image.Summary{}, du.ImageUsage.Items...), true)
	}
	if du.ContainerUsage != nil {
		old.Containers = ListContainers(v, append([]container.Summary{}, du.ContainerUsage.Items...))
	}
	if du.VolumeUsage != nil {
		old.Volumes = append([]volume.Volume{}, du.VolumeUsage.Items...)
	}
	if du.BuildCacheUsage != nil {
		old.BuildCache = append([]build.CacheRecord{}, du.BuildCacheUsage.Items...)
	}
	if !v.Has(42) {
		old.BuilderSize = new(int64)
	}
	if !v.Has(52) {
		return old
	}
	if !verbose {
		strip(&du)
		if !v.Has(53) {
			old.DiskUsage = &du
			return old
		}
	}
	return du
}

// strip takes the lists out.
func strip(du *system.DiskUsage) {
	if du.ImageUsage != nil {
		du.ImageUsage.Items = nil
	}
	if du.ContainerUsage != nil {
		du.ContainerUsage.Items = nil
	}
	if du.VolumeUsage != nil {
		du.VolumeUsage.Items = nil
	}
	if du.BuildCacheUsage != nil {
		du.BuildCacheUsage.Items = nil
	}
}
