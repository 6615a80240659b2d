package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/sandbox/checkpoint"
	"github.com/berth-engine/berth/sandbox/stage"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// external is a mount of something of the host.
type external struct {
	name        string // what criu knows it by
	source      string // on the host
	destination string // in the container, maybe by way of links
}

// outside lists what a container with this configuration has of the host.
// groups are the directories of its control groups.
func outside(spec *specs.Spec, groups []string) []external {
	var list []external
	add := func(source, destination string) {
		destination = path.Clean("/" + destination)
		list = append(list, external{destination, source, destination})
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		switch {
		case isBind(m):
			add(m.Source, m.Destination)
		case m.Type == "cgroup" && !unified():
			for _, dir := range groups {
				if name, err := stage.Hierarchy(dir); err == nil {
					add(dir, path.Join(m.Destination, name))
				}
			}
		}
	}
	for _, p := range stage.DefaultDevices() {
		add(p, p)
	}
	for _, d := range spec.Linux.Devices {
		add(d.Path, d.Path)
	}
	for _, p := range spec.Linux.MaskedPaths { // criu saves those that cover directories
		list = append(list, external{"/dev/null", "/dev/null", path.Clean("/" + p)})
	}
	return list
}

func unified() bool {
	f, err := os.Open("/sys/fs/cgroup")
	if err != nil {
		return false
	}
	defer f.Close()
	magic, err := mount.Magic(f)
	return err == nil && magic == unix.CGROUP2_SUPER_MAGIC
}

// mounted finds where in the container its mounts are.
func mounted(root *os.File, list []external) ([]checkpoint.Mount, error) {
	var mounts []checkpoint.Mount
	for _, e := range list {
		f, err := mount.OpenInRoot(root, e.destination, unix.O_PATH, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("mount at %s: %w", e.destination, err)
		}
		// The kernel has the path from the root of the mount namespace on.
		at, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
		info, serr := f.Stat()
		f.Close()
		if err := errors.Join(err, serr); err != nil {
			return nil, fmt.Errorf("mount at %s: %w", e.destination, err)
		}
		if e.name == "/dev/null" && e.destination != e.name && info.IsDir() {
			continue
		}
		mounts = append(mounts, checkpoint.Mount{Name: e.name, Path: at})
	}
	return mounts, nil
}
