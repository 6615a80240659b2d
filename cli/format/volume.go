package format

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/berth-engine/berth/api"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/volume"
)

// The formats of volumes and their snapshots.
const (
	VolumeTable   = "table {{.Driver}}\t{{.Name}}"
	SnapshotTable = "table {{.Name}}\t{{.Created}}"
)

// VolumeHeader titles the columns of volumes.
var VolumeHeader = Header{
	"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Links": "LINKS",
	"Size": "SIZE", "Limit": "LIMIT", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
}

// SnapshotHeader titles the columns of snapshots.
var SnapshotHeader = Header{"Name": "SNAPSHOT", "Created": "CREATED"}

// VolumeRow is a volume.
type VolumeRow struct{ v volume.Volume }

// Volumes makes a row for each.
func Volumes(list []volume.Volume) []VolumeRow {
	rows := make([]VolumeRow, len(list))
	for i := range list {
		rows[i] = VolumeRow{list[i]}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r VolumeRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// Name is the volume's name.
func (r VolumeRow) Name() string { return r.v.Name }

// Driver is its driver.
func (r VolumeRow) Driver() string { return r.v.Driver }

// Scope is local or global.
func (r VolumeRow) Scope() string { return r.v.Scope }

// Mountpoint is where its data is on the daemon's host.
func (r VolumeRow) Mountpoint() string { return r.v.Mountpoint }

// Labels are all labels, as key=value.
func (r VolumeRow) Labels() string { return pairs(r.v.Labels) }

// Label is the value of one label.
func (r VolumeRow) Label(name string) string { return r.v.Labels[name] }

// Links counts the containers that refer to it, where the daemon did.
func (r VolumeRow) Links() string {
	if r.v.UsageData == nil {
		return notAvailable
	}
	return strconv.FormatInt(r.v.UsageData.RefCount, 10)
}

// Size is what its files take, where the daemon measured it.
func (r VolumeRow) Size() string {
	if r.v.UsageData == nil {
		return notAvailable
	}
	return units.HumanSize(float64(r.v.UsageData.Size))
}

// Limit is how much its files may take, where there is a limit.
func (r VolumeRow) Limit() string {
	n, ok := r.v.Status["Limit"].(float64)
	if !ok {
		return notAvailable
	}
	return units.HumanSize(n)
}

// Availability is of cluster volumes.
func (VolumeRow) Availability() string { return notAvailable }

// Group is of cluster volumes.
func (VolumeRow) Group() string { return notAvailable }

// Status is of cluster volumes.
func (VolumeRow) Status() string { return notAvailable }

const notAvailable = "N/A"

// SnapshotRow is a snapshot of a volume.
type SnapshotRow struct{ s api.VolumeSnapshot }

// Snapshots makes a row for each.
func Snapshots(list []api.VolumeSnapshot) []SnapshotRow {
	rows := make([]SnapshotRow, len(list))
	for i := range list {
		rows[i] = SnapshotRow{list[i]}
	}
	return rows
}

// Name is the snapshot's name.
func (r SnapshotRow) Name() string { return r.s.Name }

// Created is when it was made.
func (r SnapshotRow) Created() string { return r.s.CreatedAt.Local().Format(time.DateTime) }
