package format

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/api"
)

// The formats of `system df`.
const (
	UsageTable          = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
	usageImageTable     = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}"
	usageContainerTable = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"
	usageVolumeTable    = "table {{.Name}}\t{{.Links}}\t{{.Size}}"
	usageCacheTable     = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}"
	spaceTable          = "table {{.What}}\t{{.Size}}\t{{.Path}}"
)

var (
	// UsageHeader titles the columns of `system df`.
	UsageHeader = Header{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
	cacheHeader = Header{
		"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
		"UsageCount": "USAGE", "Shared": "SHARED",
	}
	spaceHeader = Header{"What": "WHAT", "Size": "ON DISK", "Path": "WHERE"}
)

// UsageRow is one kind of object.
type UsageRow struct {
	kind                             string
	total, active, size, reclaimable int64
}

// Usage makes the four rows of `system df`.
func Usage(u client.DiskUsageResult) []UsageRow {
	i, c, v, b := u.Images, u.Containers, u.Volumes, u.BuildCache
	return []UsageRow{
		{"Images", i.TotalCount, i.ActiveCount, i.TotalSize, i.Reclaimable},
		{"Containers", c.TotalCount, c.ActiveCount, c.TotalSize, c.Reclaimable},
		{"Local Volumes", v.TotalCount, v.ActiveCount, v.TotalSize, v.Reclaimable},
		{"Build Cache", b.TotalCount, b.ActiveCount, b.TotalSize, b.Reclaimable},
	}
}

// MarshalJSON gives all fields.
func (r UsageRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// Type is the kind of object.
func (r UsageRow) Type() string { return r.kind }

// TotalCount is how many there are.
func (r UsageRow) TotalCount() string { return strconv.FormatInt(r.total, 10) }

// Active is how many are in use.
func (r UsageRow) Active() string { return strconv.FormatInt(r.active, 10) }

// Size is what they take.
func (r UsageRow) Size() string { return units.HumanSize(float64(r.size)) }

// Reclaimable is what those take that are not in use, with its share.
func (r UsageRow) Reclaimable() string {
	if r.size > 0 {
		return fmt.Sprintf("%s (%v%%)", units.HumanSize(float64(r.reclaimable)), r.reclaimable*100/r.size)
	}
	return units.HumanSize(float64(r.reclaimable))
}

// CacheRow is one record of the build cache.
type CacheRow struct {
	c     build.CacheRecord
	trunc bool
	now   time.Time
}

// MarshalJSON gives all fields.
func (r CacheRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the record's ID, with * while it is in use.
func (r CacheRow) ID() string {
	id := r.c.ID
	if r.trunc {
		id = ShortID(id)
	}
	if r.c.InUse {
		id += "*"
	}
	return id
}

// CacheType is what it holds.
func (r CacheRow) CacheType() string { return r.c.Type }

// Size is what it takes.
func (r CacheRow) Size() string { return units.HumanSize(float64(r.c.Size)) }

// CreatedSince is its age in words.
func (r CacheRow) CreatedSince() string { return ago(r.now, r.c.CreatedAt.Unix()) }

// LastUsedSince is the time since its last use, in words.
func (r CacheRow) LastUsedSince() string {
	if r.c.LastUsedAt == nil {
		return ""
	}
	return ago(r.now, r.c.LastUsedAt.Unix())
}

// UsageCount is how often it was used.
func (r CacheRow) UsageCount() string { return strconv.Itoa(r.c.UsageCount) }

// InUse tells whether it is used now.
func (r CacheRow) InUse() string { return strconv.FormatBool(r.c.InUse) }

// Shared tells whether others have the same content.
func (r CacheRow) Shared() string { return strconv.FormatBool(r.c.Shared) }

// SpaceRow is a part of what the engine has on disk.
type SpaceRow struct{ s api.Space }

// MarshalJSON gives all fields.
func (r SpaceRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// What says what it is.
func (r SpaceRow) What() string { return r.s.What }

// Path is where it is.
func (r SpaceRow) Path() string { return r.s.Path }

// Size is what it takes.
func (r SpaceRow) Size() string { return units.HumanSize(float64(r.s.Bytes)) }

// usageDetails is what a template of `system df -v` sees.
type usageDetails struct {
	Images     []ImageRow
	Containers []ContainerRow
	Volumes    []VolumeRow
	BuildCache []CacheRow
	Space      []SpaceRow
}

// UsageDetails writes what `system df -v` shows, in tables or by a template. A
// nil space is left out.
func UsageDetails(w io.Writer, text string, u client.DiskUsageResult, space *api.SpaceReport, now time.Time) error {
	table := text == Table || text == ""
	containers := append([]container.Summary{}, u.Containers.Items...)
	for i := range containers {
		containers[i].SizeRootFs = 0 // the image's are not the container's
	}
	d := usageDetails{Images: firstNames(u.Images.Items, table, now), Containers: Containers(containers, table, now), Volumes: Volumes(u.Volumes.Items)}
	for _, c := range u.BuildCache.Items {
		d.BuildCache = append(d.BuildCache, CacheRow{c, table, now})
	}
	if space != nil {
		for _, s := range space.Items {
			d.Space = append(d.Space, SpaceRow{s})
		}
	}
	if !table {
		return Object(w, text, d)
	}
	fmt.Fprint(w, "Images space usage:\n\n")
	if err := List(w, usageImageTable, ImageHeader, d.Images); err != nil {
		return err
	}
	fmt.Fprint(w, "\nContainers space usage:\n\n")
	if err := List(w, usageContainerTable, ContainerHeader, d.Containers); err != nil {
		return err
	}
	fmt.Fprint(w, "\nLocal Volumes space usage:\n\n")
	volumes := usageVolumeTable
	if slices.ContainsFunc(d.Volumes, func(r VolumeRow) bool { return r.Limit() != notAvailable }) {
		volumes += "\t{{.Limit}}"
	}
	if err := List(w, volumes, VolumeHeader, d.Volumes); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nBuild cache usage: %s\n\n", units.HumanSize(float64(u.BuildCache.TotalSize)))
	if err := List(w, usageCacheTable, cacheHeader, d.BuildCache); err != nil || space == nil {
		return err
	}
	fmt.Fprintf(w, "\nOn disk below %s: %s\n\n", space.DataRoot, units.HumanSize(float64(space.Total)))
	return List(w, spaceTable, spaceHeader, d.Space)
}

// firstNames makes one row for each image.
func firstNames(list []image.Summary, trunc bool, now time.Time) []ImageRow {
	var rows []ImageRow
	for _, i := range list {
		n := imageNames(i, false)[0]
		rows = append(rows, ImageRow{i, n[0], n[1], n[2], trunc, now})
	}
	return rows
}
