package container

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"
	nettypes "github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/network"
)

// RecordVersion is the version of the record's layout that this program
// writes. A record of a newer version is refused, never guessed at.
const RecordVersion = 1

// Record is all that is known of a container; docs/contracts/record.md says
// what the fields mean on disk. A record in memory is immutable: to change one,
// copy it, save the copy, and publish that.
type Record struct {
	Version int
	ID      string
	Name    string // without a slash
	// Seq numbers the versions of the record, from 1 on; 0: a program that does not
	// number them wrote it.
	Seq uint64 `json:",omitempty"`

	State   State
	Run     uint64 // number of starts
	Desired Desired

	Created    time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	Pid        int // of process 1, while live; for people only: adoption asks the monitor
	ExitCode   int
	OOMKilled  bool
	Error      string

	RestartCount int // restarts by the policy since the last start by a user

	Image ImageRef
	// Config is what the container is run with: the request merged with the
	// image's defaults.
	Config *container.Config
	// RequestLabels are the labels of the request alone. Labels of an image are
	// data: whatever decides something by label looks here.
	RequestLabels map[string]string `json:",omitempty"`
	HostConfig    *container.HostConfig
	// Endpoints are the networks that the container is to be on, by name, as
	// they were asked for. Nil: the one that the network mode names.
	Endpoints map[string]*nettypes.EndpointSettings `json:",omitzero"`
	Mounts    []Mount                               `json:",omitempty"`

	// Network is what the network gave, while attached, and between two runs of
	// a container that is run anew for an Edit.
	Network *network.Result `json:",omitempty"`
	// Project is the number that the file system limits the container's files by
	// (kernel/quota); 0: they are not limited.
	Project uint32 `json:",omitempty"`
	// Edit is a change under way; nil: there is none.
	Edit *Edit `json:",omitempty"`
}

// ImageRef names the image as it was when the container was made.
type ImageRef struct {
	ID       digest.Digest
	Ref      string // what the request said
	Manifest ocispec.Descriptor
	ChainID  digest.Digest // of its layers: they stay while the container is there
	Platform ocispec.Platform
}

// Mount is one mount point of the container besides its root.
type Mount struct {
	Type        mounttypes.Type
	Name        string `json:",omitempty"` // of the volume, as it was last
	VolumeID    string `json:",omitempty"` // which volume that is; "": of an earlier version of the record
	Anonymous   bool   `json:",omitempty"` // a volume that goes with rm -v and --rm
	Source      string `json:",omitempty"` // host path of a bind
	Destination string
	Subpath     string `json:",omitempty"` // of a volume or an image
	Mode        string `json:",omitempty"` // options as the user wrote them
	ReadOnly    bool   `json:",omitempty"`
	NoCopy      bool   `json:",omitempty"`
	// NonRecursive: of binds, mount only the top; ReadOnlyNonRecursive and
	// ReadOnlyForceRecursive as in the API.
	NonRecursive           bool                   `json:",omitempty"`
	ReadOnlyNonRecursive   bool                   `json:",omitempty"`
	ReadOnlyForceRecursive bool                   `json:",omitempty"`
	Propagation            mounttypes.Propagation `json:",omitempty"`
	TmpfsOptions           []string               `json:",omitempty"` // data of a tmpfs mount
	Image                  *ImageRef              `json:",omitempty"` // whose files are shown
}

func decodeRecord(b []byte) (*Record, error) {
	type (
		plain     Record // shadowed below, member by member
		plainEdit Edit
	)
	var r Record
	in := struct {
		*plain
		Config     *storedConfig
		HostConfig *storedHost
		Edit       *struct {
			plainEdit
			Config     *storedConfig
			HostConfig *storedHost
		}
	}{plain: (*plain)(&r)}
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, err
	}
	r.Config, r.HostConfig = in.Config.config(), in.HostConfig.host()
	if e := in.Edit; e != nil {
		r.Edit = (*Edit)(&e.plainEdit)
		r.Edit.Config, r.Edit.HostConfig = e.Config.config(), e.HostConfig.host()
	}
	if r.Version < 1 || r.Version > RecordVersion {
		return nil, fmt.Errorf("record version %d is not one that this program knows (%d)", r.Version, RecordVersion)
	}
	if !isID(r.ID) || r.Config == nil || r.HostConfig == nil {
		return nil, fmt.Errorf("record is not complete")
	}
	return &r, nil
}

func isID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// autoRemove says that nothing of the container needs to outlive its run.
func (r *Record) autoRemove() bool { return r.HostConfig.AutoRemove }

// short is the ID as people see it.
func short(id string) string { return id[:min(len(id), 12)] }
