package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/file"
)

// instanceFile in a sandbox's directory is written before the launch, for
// whoever finds the directory later.
const instanceFile = "sandbox.json"

// instance is what is needed to take over, or to clean up, after any crash.
type instance struct {
	Version      int    `json:"version"` // 1
	ID           string `json:"id"`
	Instance     string `json:"instance"`
	MonitorPid   int    `json:"monitor_pid"`
	MonitorStart uint64 `json:"monitor_start"` // field 22 of /proc/PID/stat
	CgroupParent string `json:"cgroup_parent"`
	CgroupName   string `json:"cgroup_name"`
	// Unit is the group's, if it is systemd's.
	Unit    *cgroup.Unit `json:"unit,omitempty"`
	Durable bool         `json:"durable,omitempty"`
	Foreign bool         `json:"foreign,omitempty"` // another OCI runtime has made the container
}

func (i *instance) write(dir string) error {
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, instanceFile), append(data, '\n'), 0o600)
}

// readInstance reads the instance file of id; errdefs.NotFound if there is no
// directory, an instance with defaults if there is no (whole) file in it.
func (r *Runtime) readInstance(id string) (*instance, error) {
	i := &instance{ID: id, CgroupParent: r.o.CgroupParent, CgroupName: id}
	data, err := file.Read(filepath.Join(r.dir(id), instanceFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(r.dir(id)); err != nil {
			return nil, fmt.Errorf("sandbox %s: %w", id, errdefs.ErrNotFound)
		}
		return i, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox %s: %w", id, err)
	}
	read := *i
	if json.Unmarshal(data, &read) != nil || read.ID != id || read.Version != 1 {
		return i, nil //nolint:nilerr // torn by a crash while it was written: nothing was launched yet
	}
	return &read, nil
}

// nonce names a launch.
func nonce() string { return strings.ToLower(rand.Text()[:16]) }

// oomFile finds the file with the kernel's count of OOM kills of a group;
// empty if it has no memory controller.
func oomFile(g *cgroup.Group) string {
	dir := g.Path("memory")
	if dir == "" {
		return ""
	}
	for _, name := range []string{"memory.events", "memory.oom_control"} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// killFile finds the file by which all processes of a group are killed; empty
// where the kernel has none.
func killFile(dirs []string) string {
	for _, dir := range dirs {
		file := filepath.Join(dir, "cgroup.kill")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}
