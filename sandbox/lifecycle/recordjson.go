package lifecycle

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/berth-engine/berth/sandbox/state"
)

// marshal is json.Marshal for the records that nearly all containers have, who
// need not wait until package encoding/json has looked at the types.
func (r *record) marshal() ([]byte, error) {
	if r.Unit != nil || r.Hooks != nil || r.Mount != nil {
		return json.Marshal(r)
	}
	b := make([]byte, 0, 512)
	text := func(name, value string) {
		b = state.AppendString(append(append(b, name...), ':'), value)
		b = append(b, ',')
	}
	b = append(b, `{"version":`...)
	b = append(strconv.AppendInt(b, int64(r.Version), 10), ',')
	text(`"id"`, r.ID)
	text(`"ociVersion"`, r.OCI)
	text(`"bundle"`, r.Bundle)
	text(`"rootfs"`, r.Rootfs)
	b = strconv.AppendInt(append(b, `"pid":`...), int64(r.Pid), 10)
	b = strconv.AppendUint(append(b, `,"startTime":`...), r.StartTime, 10)
	b = strconv.AppendBool(append(b, `,"ready":`...), r.Ready)
	b = r.Created.AppendFormat(append(b, `,"created":"`...), time.RFC3339Nano)
	b = append(b, `",`...)
	text(`"cgroupParent"`, r.CgroupParent)
	text(`"cgroupName"`, r.CgroupName)
	b = strconv.AppendBool(append(b, `"ownPids":`...), r.OwnPids)
	if len(r.Annotations) > 0 {
		b = append(b, `,"annotations":{`...)
		for i, name := range slices.Sorted(maps.Keys(r.Annotations)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = state.AppendString(append(state.AppendString(b, name), ':'), r.Annotations[name])
		}
		b = append(b, '}')
	}
	if len(r.Streams) > 0 {
		b = append(b, `,"streams":[`...)
		for i, s := range r.Streams {
			if i > 0 {
				b = append(b, ',')
			}
			b = state.AppendString(b, s)
		}
		b = append(b, ']')
	}
	return append(b, '}'), nil
}
