package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// openSources takes what comes from the host's file systems, while the mount
// namespace is still tied to the host's propagation and its paths are the
// host's.
func (s *setup) openSources() error {
	if err := s.openNull(); err != nil {
		return err
	}
	if label := s.Spec.Linux.MountLabel; label != "" {
		if err := s.selinux(); err != nil {
			return fmt.Errorf("SELinux mount label %q: %w", label, err)
		}
	}
	s.ahead = make([]*os.File, len(s.Spec.Mounts))
	if err := s.receiveTrees(); err != nil || s.Opened {
		return err
	}
	return s.openTrees(s.makeAhead)
}

func (s *setup) openNull() (err error) {
	if s.null, err = os.OpenFile(os.DevNull, unix.O_PATH|unix.O_NOFOLLOW, 0); err != nil {
		return err
	}
	if ok, err := mount.IsDevice(s.null, 1, 3); err != nil || !ok {
		return fmt.Errorf("the host's /dev/null is not the null device (%v)", err) //nolint:errorlint // err may be nil
	}
	return nil
}

// openTrees opens the sources that are not there yet. others makes what is not
// opened but new, each in its turn: since Linux 6.8, /proc/self/mountinfo lists
// mounts in the order in which they were made, wherever and whenever they were
// attached, and programs expect that of the configuration.
func (s *setup) openTrees(others func(i int, m *specs.Mount, o *mountOptions) error) error {
	own := false // a copy of what earlier entries mount, which is not there yet
	for i := range s.Spec.Mounts {
		m := &s.Spec.Mounts[i]
		o, err := parseOptions(m)
		if err == nil && len(m.UIDMappings) > 0 {
			// Not later: with a mount over its root directory, a process may make
			// no user namespaces (current_chrooted).
			_, err = s.idmaps.namespace(m.UIDMappings, m.GIDMappings)
		}
		switch {
		case err != nil:
			return err
		case s.sources[i] != nil && (!o.bind || o.remount):
			err = invalid("mount %s: a source was given, but it is no bind mount", m.Destination)
		case s.sources[i] != nil:
			err = o.prepare(s.sources[i], m, &s.idmaps)
		case o.remount:
		case o.bind && s.inRoot(m.Source) != "":
			own = true
		case o.bind:
			s.sources[i], err = openSource(m, &o, &s.idmaps)
		case showsGroups(m):
			err = s.openCgroups(i, &o, own)
		}
		if err != nil {
			return err
		}
		if own {
			continue // new file systems can wait, and come behind that copy
		}
		if err := others(i, m, &o); err != nil {
			return mountError(m, err)
		}
	}
	return nil
}

// inRoot returns where in the root file system a path of the host leads that is
// below the bundle's; "" if it is not. Such a source is what the container has
// there by then, earlier mounts included, and opened when its turn comes.
func (s *setup) inRoot(source string) string {
	if s.Spec.Root == nil || !path.IsAbs(s.Spec.Root.Path) {
		return ""
	}
	rest, ok := strings.CutPrefix(path.Clean(source), path.Clean(s.Spec.Root.Path)+"/")
	if !ok {
		return ""
	}
	return "/" + rest
}

func openSource(m *specs.Mount, o *mountOptions, ids *idmaps) (*os.File, error) {
	if !path.IsAbs(m.Source) {
		return nil, fmt.Errorf("bind source %q of %s is not absolute", m.Source, m.Destination)
	}
	tree, err := mount.Clone(m.Source, o.recursive)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("bind source path does not exist: %s", m.Source)
	}
	if err != nil {
		return nil, err
	}
	if err := o.prepare(tree, m, ids); err != nil {
		tree.Close()
		return nil, err
	}
	return tree, nil
}

// prepare gives a detached copy the properties that the options ask for.
func (o *mountOptions) prepare(tree *os.File, m *specs.Mount, ids *idmaps) error {
	err := o.tie(tree, ids.container != nil)
	if err == nil {
		err = o.apply(tree)
	}
	if err == nil {
		err = ids.apply(tree, m, o)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Source, err)
	}
	return nil
}

// idmaps are the user namespaces by whose mappings mounts show owners, by
// mappings.
type idmaps struct {
	container *os.File // the container's own user namespace, if it has one
	made      map[string]*os.File
}

// apply maps the owners of files in tree if the options ask for it. It needs
// the host's capabilities.
func (i *idmaps) apply(tree *os.File, m *specs.Mount, o *mountOptions) error {
	if !o.idmap {
		return nil
	}
	user := i.container
	if len(m.UIDMappings) > 0 {
		var err error
		if user, err = i.namespace(m.UIDMappings, m.GIDMappings); err != nil {
			return err
		}
	}
	if user == nil {
		return errors.New("idmap: no mappings")
	}
	err := mount.SetAttr(tree, mount.Attr{IDMap: user, Recursive: o.idmapBelow})
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("idmap: the file system cannot do that: %w", err)
	}
	return err
}

func (i *idmaps) namespace(uids, gids []specs.LinuxIDMapping) (*os.File, error) {
	var key strings.Builder
	fmt.Fprint(&key, uids, gids)
	if f := i.made[key.String()]; f != nil {
		return f, nil
	}
	f, err := ns.NewUserNS(idMap(uids), idMap(gids))
	if err != nil {
		return nil, fmt.Errorf("idmap: %w", err)
	}
	if i.made == nil {
		i.made = map[string]*os.File{}
	}
	i.made[key.String()] = f
	return f, nil
}

func (i *idmaps) close() {
	for _, f := range i.made {
		f.Close()
	}
	i.made = nil
}

func idMap(list []specs.LinuxIDMapping) []ns.IDMap {
	out := make([]ns.IDMap, len(list))
	for i, m := range list {
		out[i] = ns.IDMap{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size}
	}
	return out
}
