package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // registers the device filters
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Resources are the limits of a group.
type Resources = specs.LinuxResources

// A Group is one control group in all hierarchies. Its methods may be called
// at the same time.
type Group struct {
	host *host
	name string            // path in every hierarchy
	dirs map[string]string // by controller
	unit *Unit             // systemd's, if it has made the group
	made bool              // here, in all hierarchies
}

func newGroup(parent, id string) (*Group, error) {
	switch {
	case strings.Contains(parent, ":"):
		return nil, fmt.Errorf("cgroup parent %q: systemd's notation: %w", parent, errdefs.ErrNotImplemented)
	case id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\n\x00"):
		return nil, fmt.Errorf("cgroup %q: %w", id, errdefs.ErrInvalidArgument)
	}
	h, err := detected()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
	}
	name := path.Join("/", path.Clean("/"+parent), id)
	return &Group{host: h, name: name, dirs: h.places(name)}, nil
}

// Create makes the group parent/id and sets its limits; r may be nil. Without
// rules for devices, those that every container needs are allowed and no
// other. A group of this name that is left over and empty is replaced; one
// with processes is errdefs.AlreadyExists.
func Create(parent, id string, r *Resources) (*Group, error) {
	g, limit, err := Make(parent, id, r)
	if err == nil {
		if err = limit(); err != nil {
			err = errors.Join(err, g.Destroy())
		}
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Make is Create that leaves the limits to the caller: limit sets them, and is to
// be called before anything in the group does what it was made for. Meanwhile a
// process can start in it.
func Make(parent, id string, r *Resources) (g *Group, limit func() error, err error) {
	if g, err = newGroup(parent, id); err != nil {
		return nil, nil, err
	}
	c, err := g.resources(r)
	if err != nil {
		return nil, nil, err
	}
	if len(c.Devices) == 0 {
		c.Devices = defaultDevices()
	}
	if err := g.makeFresh(); err != nil {
		return nil, nil, err
	}
	g.made = true
	return g, func() error {
		if err := g.setFirst(c); err != nil {
			return err
		}
		return g.limitTCP(r)
	}, nil
}

const tcpLimit = "memory.kmem.tcp.limit_in_bytes"

// limitTCP bounds the memory of TCP's buffers (memory.kernelTCP), which the
// library leaves out. Cgroup v2 counts them with all other memory and has no
// such limit; there, and for kernel memory, which Linux 5.16 stopped limiting,
// the setting has no effect, as the specification says of both.
func (g *Group) limitTCP(r *Resources) error {
	dir := g.dirs["memory"]
	if r == nil || r.Memory == nil || r.Memory.KernelTCP == nil || g.host.mode == V2 || dir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, tcpLimit), strconv.AppendInt(nil, *r.Memory.KernelTCP, 10), 0); err != nil {
		return fmt.Errorf("cgroup %s: memory.kernelTCP: %w", g.name, err)
	}
	return nil
}

// setFirst sets the limits of a new group.
func (g *Group) setFirst(c *cgroups.Resources) error {
	if c.CpuRtRuntime > 0 {
		realtime.Lock()
		defer realtime.Unlock()
		if err := g.allowRealtime(c); err != nil {
			return err
		}
	}
	if err := g.allowAsListed(c.Devices); err != nil {
		return fmt.Errorf("cgroup %s: %w", g.name, err)
	}
	return g.set(c)
}

// resources are r as the library takes them, if this host can do it.
func (g *Group) resources(r *Resources) (*cgroups.Resources, error) {
	c, err := convert(r, g.host.mode)
	if err == nil {
		err = g.host.supported(c)
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", g.name, err)
	}
	return c, nil
}

// makeFresh makes the directories, after removing those of an empty group.
func (g *Group) makeFresh() error {
	err := g.make(false)
	if errors.Is(err, os.ErrExist) {
		pids, e := g.Pids()
		if e != nil || len(pids) > 0 {
			return fmt.Errorf("container's cgroup is not empty: %s: %w", g.name, errdefs.ErrAlreadyExists)
		}
		if err := g.Destroy(); err != nil {
			return err
		}
		err = g.make(false)
	}
	if err != nil {
		return fmt.Errorf("cgroup %s: %w", g.name, err)
	}
	return nil
}

// Lone makes a group without any limit, for processes that shall live outside
// of their starter's group. One that exists is as good: it may be full of
// monitors that outlived a daemon.
func Lone(parent, id string) (*Group, error) {
	g, err := newGroup(parent, id)
	if err != nil {
		return nil, err
	}
	if err := g.make(true); err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", g.name, err)
	}
	g.made = true
	return g, nil
}

// make makes the directories, or none. With reuse, those that exist are fine.
func (g *Group) make(reuse bool) (err error) {
	made := map[string]bool{}
	defer func() {
		if err != nil {
			for dir := range made {
				_ = unix.Rmdir(dir) // what failed before says more
			}
		}
	}()
	if g.host.mode == V2 {
		dir := g.dirs[unified]
		if _, err := os.Lstat(dir); err == nil && !reuse {
			return os.ErrExist
		}
		return fs2.CreateCgroupPath(dir, &cgroups.Cgroup{Resources: &cgroups.Resources{}})
	}
	for controller, dir := range g.dirs {
		if made[dir] {
			continue
		}
		err := makeGroup(g.host.dirs[controller], dir, g.isCpuset(dir))
		switch {
		case err == nil:
			made[dir] = true
		case reuse && errors.Is(err, os.ErrExist):
		default:
			return err
		}
	}
	return nil
}

func (g *Group) isCpuset(dir string) bool { return g.dirs["cpuset"] == dir }

func (g *Group) set(c *cgroups.Resources) error {
	if g.host.mode == V2 && !c.SkipDevices {
		defer keepMemlock()()
	}
	// What a v1 hierarchy lacks is refused by the library with the
	// controller's name.
	if g.unit != nil {
		return g.unit.set(c)
	}
	config := &cgroups.Cgroup{Path: g.name, Resources: c}
	var err error
	if g.host.mode == V2 {
		var m *fs2.Manager
		if m, err = fs2.NewManager(config, g.dirs[unified]); err == nil {
			err = m.Set(c)
		}
		if err == nil {
			err = g.weighDevices(c)
		}
	} else {
		var m *fs.Manager
		if m, err = fs.NewManager(config, maps.Clone(g.dirs)); err == nil {
			err = m.Set(c)
		}
	}
	if err != nil {
		return fmt.Errorf("cgroup %s: %w%s", g.name, err, remedy(c, err))
	}
	return nil
}

// remedy says what to do about a limit that the kernel has and a device's
// scheduler has not.
func remedy(c *cgroups.Resources, err error) string {
	if len(c.BlkioWeightDevice) == 0 || !errors.Is(err, unix.EOPNOTSUPP) {
		return ""
	}
	return " (the weight of a device needs bfq as its scheduler: echo bfq > /sys/block/DEVICE/queue/scheduler)"
}

// Load finds a group that exists, for example after a restart of the daemon.
// The error is errdefs.NotFound if it is in no hierarchy.
func Load(parent, id string) (*Group, error) {
	g, err := newGroup(parent, id)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(g.all(), there) {
		return nil, fmt.Errorf("cgroup %s: %w", g.name, errdefs.ErrNotFound)
	}
	return g, nil
}

// existing returns the group's directories, each once, in a fixed order.
func (g *Group) existing() []string {
	return slices.DeleteFunc(g.all(), func(dir string) bool { return !there(dir) })
}

func there(dir string) bool {
	_, err := os.Lstat(dir)
	return err == nil
}

// all returns the group's directories, there or not.
func (g *Group) all() []string { return slices.Compact(slices.Sorted(maps.Values(g.dirs))) }

// JoinDirs returns the directories to whose cgroup.procs a process must be
// written to be in the group.
func (g *Group) JoinDirs() []string {
	if g.made {
		return g.all()
	}
	return g.existing()
}

// Path returns the directory of a controller ("memory", "cpu"; on v2 any name,
// and "" for the unified hierarchy of a hybrid host). Empty: the host does not
// have it.
func (g *Group) Path(controller string) string {
	if g.host.mode == V2 {
		return g.dirs[unified]
	}
	return g.dirs[controller]
}

// FD opens the group in the unified hierarchy for CLONE_INTO_CGROUP. The error
// is errdefs.NotImplemented where there is none.
func (g *Group) FD() (*os.File, error) {
	if g.host.mode == V1 {
		return nil, fmt.Errorf("cloning into a cgroup on a %s host: %w", g.host.mode, errdefs.ErrNotImplemented)
	}
	return os.OpenFile(g.dirs[unified], unix.O_PATH|unix.O_DIRECTORY, 0)
}

// leader is the directory whose processes are taken for the group's: the one
// that can kill them, if there is one.
func (g *Group) leader() string {
	for _, controller := range []string{unified, "pids", "freezer", "memory"} {
		if dir, ok := g.dirs[controller]; ok {
			if _, err := os.Lstat(dir); err == nil {
				return dir
			}
		}
	}
	if dirs := g.existing(); len(dirs) > 0 {
		return dirs[0]
	}
	return ""
}

// Pids returns the processes in the group and in the groups that they may have
// made below it. A group that is gone has none.
func (g *Group) Pids() ([]int, error) {
	dir := g.leader()
	if dir == "" {
		return nil, nil
	}
	pids, err := cgroups.GetAllPids(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil // removed while we read
	}
	return pids, err
}

// OOMKills returns how many of the group's processes the kernel has killed for
// want of memory.
func (g *Group) OOMKills() (uint64, error) {
	dir, name := g.dirs["memory"], "memory.oom_control"
	if g.host.mode == V2 {
		dir, name = g.dirs[unified], "memory.events"
	}
	if dir == "" {
		return 0, fmt.Errorf("memory controller: %w", errdefs.ErrNotImplemented)
	}
	text, err := file.Read(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("no oom_kill in %s of %s", name, dir)
}

// Prune removes a parent group if nothing is in it.
func Prune(parent string) error {
	g, err := newGroup(path.Dir(path.Clean("/"+parent)), path.Base(path.Clean("/"+parent)))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range g.existing() {
		err := unix.Rmdir(dir)
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, &os.PathError{Op: "rmdir", Path: dir, Err: err})
		}
	}
	return errors.Join(errs...)
}
