package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupTree is what a v1 hierarchy contributes to /sys/fs/cgroup.
type cgroupTree struct {
	name string // "memory", "cpu,cpuacct", "unified"
	tree *os.File
}

// openCgroups takes the container's own subtree of every v1 hierarchy: the
// container never sees a group above its own, with or without a cgroup
// namespace. On v2 it takes the whole hierarchy if the container shares the
// host's cgroup namespace; otherwise there is a new view. What has to be new is
// made here, unless it must be made late, or by the stage whose parent this is.
func (s *setup) openCgroups(i int, o *mountOptions, late bool) error {
	root, err := os.OpenFile(cgroupRoot, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	magic, err := mount.Magic(root)
	if err != nil {
		return err
	}
	if magic == unix.CGROUP2_SUPER_MAGIC {
		if !s.CgroupNS {
			return s.addCgroup("", cgroupRoot, o)
		}
	} else if s.cgroups == nil {
		s.cgroups = []cgroupTree{}
	}
	if s.ahead != nil && !late {
		if s.ahead[i], err = s.newCgroups(o); err != nil {
			return err
		}
	}
	if magic == unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	for _, dir := range s.CgroupDirs {
		name, err := Hierarchy(dir)
		if err != nil {
			return err
		}
		if err := s.addCgroup(name, dir, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *setup) addCgroup(name, dir string, o *mountOptions) error {
	tree, err := mount.Clone(dir, false)
	if err != nil {
		return err
	}
	s.cgroups = append(s.cgroups, cgroupTree{name, tree})
	if err := mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_PRIVATE}); err != nil {
		return err
	}
	return o.apply(tree)
}

// Hierarchy returns the name of the directory that the hierarchy of dir is
// mounted at.
func Hierarchy(dir string) (string, error) {
	var st, above syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	for dir != "/" {
		parent := filepath.Dir(dir)
		if err := syscall.Stat(parent, &above); err != nil {
			return "", &os.PathError{Op: "stat", Path: parent, Err: err}
		}
		if above.Dev != st.Dev {
			return filepath.Base(dir), nil
		}
		dir = parent
	}
	return "", fmt.Errorf("no cgroup hierarchy: %s", dir)
}

// newCgroups is what is mounted first of all that shows groups: a view of the
// hierarchy of v2, or the directory of those of v1.
func (s *setup) newCgroups(o *mountOptions) (*os.File, error) {
	if s.cgroups == nil {
		return mount.New("cgroup2", "cgroup", nil, o.attrs())
	}
	return mount.New("tmpfs", "cgroup", []mount.Option{{Key: "mode", Value: "755"}}, o.attrs()&^unix.MOUNT_ATTR_RDONLY)
}

func (s *setup) wholeHierarchy() bool { return len(s.cgroups) == 1 && s.cgroups[0].name == "" }

// mountCgroups puts the container's groups at at. made is of newCgroups, if that
// was asked before.
func (s *setup) mountCgroups(at, made *os.File, o *mountOptions) (err error) {
	if s.wholeHierarchy() {
		return mount.Attach(s.cgroups[0].tree, at)
	}
	if made == nil {
		if made, err = s.newCgroups(o); err != nil {
			return err
		}
	}
	defer made.Close()
	if err := mount.Attach(made, at); err != nil || s.cgroups == nil {
		return err
	}
	trees, names := map[string]cgroupTree{}, make([]string, len(s.cgroups))
	for i, c := range s.cgroups {
		trees[c.name], names[i] = c, c.name
	}
	slices.Sort(names)
	for _, name := range names {
		if err := place(made, trees[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return mount.SetAttr(made, mount.Attr{Set: uint64(o.attrs()) & unix.MOUNT_ATTR_RDONLY})
}

// place mounts one hierarchy, with a link for each of its controllers if it
// has several ("cpu,cpuacct").
func place(tmp *os.File, c cgroupTree) error {
	defer c.tree.Close()
	at, err := mount.MakeDir(tmp, c.name, 0o755, 0, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := mount.Attach(c.tree, at); err != nil {
		return err
	}
	if !strings.Contains(c.name, ",") {
		return nil
	}
	for controller := range strings.SplitSeq(c.name, ",") {
		if err := mount.Symlink(tmp, c.name, controller); err != nil {
			return err
		}
	}
	return nil
}
