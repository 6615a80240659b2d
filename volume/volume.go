package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/containerd/errdefs"
)

// LocalDriver is the name of the driver that needs no plugin.
const LocalDriver = "local"

// AnonymousLabel marks volumes that the engine has named, as Docker's does.
const AnonymousLabel = "com.docker.volume.anonymous"

// recordVersion is the version of opts.json that this program writes. A newer
// one is refused, never guessed at.
const recordVersion = 2

const (
	dataDir      = "_data"
	optsFile     = "opts.json"
	snapshotsDir = "snapshots"
	halfMade     = ".new-"
	halfGone     = ".old-"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Volume is one volume as it is on disk.
type Volume struct {
	// Version of the record; 0 and 1: without ID.
	Version int `json:",omitempty"`
	// ID is 64 hex digits, and never changes.
	ID        string
	Name      string
	Driver    string
	Labels    map[string]string `json:",omitempty"`
	Options   map[string]string `json:",omitempty"`
	CreatedAt time.Time
	// Anonymous volumes were named by the engine and go with `rm -v`.
	Anonymous bool `json:",omitempty"`

	// Project is the number that the file system limits the volume by
	// (kernel/quota); 0: its size is not limited.
	Project uint32 `json:",omitempty"`

	// Scope is of a plugin's volume: "local", or "global" for one that all hosts
	// of a cluster have. "" means local.
	Scope string `json:",omitempty"`

	// Path is the directory of the data; not stored. That of a plugin's volume is
	// only known while it is mounted.
	Path string `json:"-"`
	// Status is what Describe was told by the driver, or of the quota; not stored.
	Status map[string]any `json:"-"`
}

// CheckName reports whether name may name a volume, as Docker words it.
func CheckName(name string) error {
	if len(name) == 1 {
		return fail(errdefs.ErrInvalidArgument, "volume name is too short, names should be at least two alphanumeric characters")
	}
	if !namePattern.MatchString(name) || len(name) > 255-len(halfMade) {
		return fail(errdefs.ErrInvalidArgument, "%q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "+
			"If you intended to pass a host directory, use absolute path", name)
	}
	return nil
}

// failure is an error of one of errdefs' kinds whose text is only what a user
// should read.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func fail(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

// load reads the record in the directory dir, whose name is the volume's.
func load(dir string) (*Volume, error) {
	b, err := os.ReadFile(filepath.Join(dir, optsFile))
	if err != nil {
		return nil, err
	}
	var v Volume
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	if v.Version > recordVersion {
		return nil, fmt.Errorf("record version %d is not one that this program knows (%d)", v.Version, recordVersion)
	}
	v.Name = filepath.Base(dir)
	if !v.remote() {
		v.Path = filepath.Join(dir, dataDir)
	}
	return &v, nil
}

// lift brings a record of an older version to the current one, on disk too.
func (v *Volume) lift(dir string) error {
	if v.Version == recordVersion {
		return nil
	}
	v.Version = recordVersion
	if v.ID == "" {
		v.ID = newID()
	}
	if v.Anonymous {
		v.Labels = maps.Clone(v.Labels)
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[AnonymousLabel] = ""
	}
	return v.save(dir)
}

// save writes the record by write and rename.
func (v *Volume) save(dir string) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, halfMade+optsFile)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && !v.Anonymous {
		err = f.Sync() // a name that somebody chose survives a power loss
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, optsFile))
}
