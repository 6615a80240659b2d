package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ContainerTable is the default format of ps.
const ContainerTable = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"

// ContainerHeader titles the columns of ps.
var ContainerHeader = Header{
	"ID": "CONTAINER ID", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND",
	"CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE",
	"Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS",
	"LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM",
}

// ContainerRow is a container in ps.
type ContainerRow struct {
	c     container.Summary
	trunc bool
	now   time.Time
}

// Containers makes rows; trunc shortens IDs, commands and names.
func Containers(list []container.Summary, trunc bool, now time.Time) []ContainerRow {
	rows := make([]ContainerRow, len(list))
	for i, c := range list {
		rows[i] = ContainerRow{c, trunc, now}
	}
	return rows
}

// MarshalJSON gives all fields.
func (r ContainerRow) MarshalJSON() ([]byte, error) { return json.Marshal(Fields(r)) }

// ID is the container's ID, short when rows are truncated.
func (r ContainerRow) ID() string {
	if r.trunc {
		return ShortID(r.c.ID)
	}
	return r.c.ID
}

// Names is the name, with names from links when rows are not truncated.
func (r ContainerRow) Names() string {
	var names []string
	for _, n := range r.c.Names {
		n = strings.TrimPrefix(n, "/")
		if r.trunc && !strings.Contains(n, "/") {
			return n
		}
		names = append(names, n)
	}
	return strings.Join(names, ",")
}

// Image is the image as it was asked for, or its ID.
func (r ContainerRow) Image() string {
	if r.c.Image == "" {
		return "<no image>"
	}
	if !r.trunc {
		return r.c.Image
	}
	if id := ShortID(r.c.ImageID); id != "" && id == ShortID(r.c.Image) {
		return id
	}
	if !strings.ContainsAny(r.c.Image, "/@") {
		return r.c.Image // it is familiar already
	}
	ref, err := reference.ParseNormalizedNamed(r.c.Image)
	if err != nil {
		return r.c.Image
	}
	name := reference.FamiliarName(ref)
	if t, ok := ref.(reference.Tagged); ok {
		return name + ":" + t.Tag()
	}
	return name
}

// Command is the command line in quotes.
func (r ContainerRow) Command() string {
	s := r.c.Command
	if r.trunc {
		s = Ellipsis(s, 20)
	}
	return strconv.Quote(s)
}

// CreatedAt is the time of creation.
func (r ContainerRow) CreatedAt() string { return time.Unix(r.c.Created, 0).String() }

// RunningFor is the time since creation.
func (r ContainerRow) RunningFor() string { return ago(r.now, r.c.Created) }

// State is the state in one word.
func (r ContainerRow) State() string { return string(r.c.State) }

// Status is the state with its duration or exit code.
func (r ContainerRow) Status() string { return r.c.Status }

// Ports is what is exposed and published.
func (r ContainerRow) Ports() string { return Ports(r.c.Ports) }

// Platform is the platform of the image, if the daemon told it.
func (r ContainerRow) Platform() *Platform {
	d := r.c.ImageManifestDescriptor
	if d == nil || d.Platform == nil {
		return nil
	}
	return &Platform{*d.Platform}
}

// Platform is an object in JSON and os/arch/variant in text.
type Platform struct{ ocispec.Platform }

func (p Platform) String() string { return path.Join(p.OS, p.Architecture, p.Variant) }

// Size is what the container has written, and with its image.
func (r ContainerRow) Size() string {
	s := size(r.c.SizeRw)
	if r.c.SizeRootFs > 0 {
		s = fmt.Sprintf("%s (virtual %s)", s, size(r.c.SizeRootFs))
	}
	return s
}

// Labels is all labels by name.
func (r ContainerRow) Labels() string { return pairs(r.c.Labels) }

// pairs lists labels as key=value, by key.
func pairs(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// Label is one label's value.
func (r ContainerRow) Label(name string) string { return r.c.Labels[name] }

// Mounts is the names or sources of what is mounted.
func (r ContainerRow) Mounts() string {
	var out []string
	for _, m := range r.c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if r.trunc {
			name = Ellipsis(name, 15)
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

// LocalVolumes counts the volumes of the local driver.
func (r ContainerRow) LocalVolumes() string {
	n := 0
	for _, m := range r.c.Mounts {
		if m.Driver == "local" {
			n++
		}
	}
	return strconv.Itoa(n)
}

// Networks is the names of the networks joined.
func (r ContainerRow) Networks() string {
	if r.c.NetworkSettings == nil {
		return ""
	}
	return strings.Join(slices.Sorted(maps.Keys(r.c.NetworkSettings.Networks)), ",")
}
