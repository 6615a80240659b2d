package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/mount"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Files in a container's directory.
const (
	recordFile = "state.json"
	configFile = "config.json" // as it was when the container was made
	startFile  = "start"       // where process 1 listens for the word to start
)

// record is what is known of a container. It is replaced as a whole, by
// rename; it needs no more, since nothing of a container outlives the kernel.
type record struct {
	Version int    `json:"version"` // 1
	ID      string `json:"id"`
	OCI     string `json:"ociVersion"`
	Bundle  string `json:"bundle"`
	Rootfs  string `json:"rootfs"`
	// Pid is zero until there is a process 1.
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"startTime"` // ns.ProcessStartTime
	// Ready says that create succeeded.
	Ready        bool              `json:"ready"`
	Created      time.Time         `json:"created"`
	CgroupParent string            `json:"cgroupParent"`
	CgroupName   string            `json:"cgroupName"`
	Unit         *cgroup.Unit      `json:"unit,omitempty"` // systemd has made the group
	OwnPids      bool              `json:"ownPids"`        // processes end with process 1
	Annotations  map[string]string `json:"annotations,omitempty"`
	// Streams are what 0, 1 and 2 were when the container was made.
	Streams []string     `json:"streams,omitempty"`
	Hooks   *specs.Hooks `json:"hooks,omitempty"` // poststart and poststop
	// Mount is the root file system's, if it is in the mount namespace of who
	// made the container, and stays there until that is removed.
	Mount *mount.ID `json:"mount,omitempty"`
}

func (c *Container) write() error {
	c.Version = 1
	data, err := c.marshal()
	if err != nil {
		return err
	}
	return c.replace(recordFile, data)
}

// replace writes a file of the container's directory so that it is always
// whole.
func (c *Container) replace(name string, data []byte) error {
	if err := os.WriteFile(c.path(name+".new"), data, 0o600); err != nil {
		return err
	}
	return os.Rename(c.path(name+".new"), c.path(name))
}

func (c *Container) read() error {
	data, err := os.ReadFile(c.path(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errNotFound // begun and not made, or half removed
	}
	if err != nil {
		return err
	}
	id := c.ID
	if err := json.Unmarshal(data, &c.record); err != nil {
		return fmt.Errorf("state of container %s: %w", id, err)
	}
	if c.Version != 1 || c.ID != id {
		return fmt.Errorf("state of container %s: not of this program's making", id)
	}
	return nil
}

// Spec is the container's configuration.
func (c *Container) Spec() (*specs.Spec, error) {
	data, err := os.ReadFile(c.path(configFile))
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.ID, err)
	}
	spec := new(specs.Spec)
	if err := unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("container %s: %w", c.ID, err)
	}
	return spec, nil
}

// remove ends the container's existence; the record goes last, so that until
// then somebody can try again.
func (c *Container) remove() error {
	if err := os.Remove(c.path(scratchDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range []string{startFile, configFile, configFile + ".new", recordFile + ".new", recordFile} {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := unix.Rmdir(c.root.Dir + "/" + c.ID)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: c.root.Dir + "/" + c.ID, Err: err}
	}
	return nil
}
