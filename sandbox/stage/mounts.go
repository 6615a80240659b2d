package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (s *setup) mountAll() error {
	defer s.idmaps.close()
	for i := range s.Spec.Mounts {
		m := &s.Spec.Mounts[i]
		if err := s.mount(m, s.sources[i], s.ahead[i]); err != nil {
			return mountError(m, err)
		}
	}
	for _, source := range s.sources {
		if source != nil {
			source.Close()
		}
	}
	return nil
}

func mountError(m *specs.Mount, err error) error {
	return fmt.Errorf("%s at %s: %w", m.Type, m.Destination, err)
}

// mount does what one entry says. source is the tree of a bind mount, or a view
// that the parent has made; ahead is what makeAhead has made.
func (s *setup) mount(m *specs.Mount, source, ahead *os.File) error {
	o, err := parseOptions(m)
	if err != nil {
		return err
	}
	switch {
	case o.remount:
		return s.remount(m, &o)
	case path.Clean("/"+m.Destination) == "/":
		return errors.New("the destination is the root directory")
	case o.bind && source == nil:
		return s.bindOwn(m, &o)
	case o.bind:
		return s.bind(m, source)
	}
	at, missing, err := s.directory(m)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := ledIntoProc(m, at); err != nil {
		return err
	}
	tree := source
	switch {
	case source != nil:
	case showsGroups(m):
		return s.mountCgroups(at, ahead, &o)
	default:
		if tree, err = s.newTree(m, &o, at, ahead, missing); err != nil {
			return err
		}
		if !slices.Contains(s.sealed, tree) {
			defer tree.Close()
		}
	}
	if err := s.idmaps.apply(tree, m, &o); err != nil {
		return err
	}
	if err := mount.Attach(tree, at); err != nil {
		return err
	}
	return o.propagate(tree)
}

func showsGroups(m *specs.Mount) bool { return m.Type == "cgroup" || m.Type == "cgroup2" }

// makeAhead makes the file system of an entry, in its turn among the sources of
// bind mounts.
func (s *setup) makeAhead(i int, m *specs.Mount, o *mountOptions) (err error) {
	if o.bind || o.remount || showsGroups(m) {
		return nil
	}
	made := *o
	if coversMode(m, o) {
		// What the root has there; earlier mounts may change that (newTree).
		at, err := mount.OpenInRoot(s.root, path.Clean("/"+m.Destination), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == nil {
			made.fs = slices.Clip(made.fs)
			err = errors.Join(made.addMode(at), at.Close())
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return err
		}
	}
	s.ahead[i], err = s.makeFileSystem(m, &made)
	return err
}

// coversMode tells whether a file system has the mode of what it covers.
func coversMode(m *specs.Mount, o *mountOptions) bool { return m.Type == "tmpfs" && !o.names("mode") }

// newTree is the new file system that is to cover at. A tmpfs has the mode of
// what it covers, but where there was nothing (missing) it is for everybody, as a
// tmpfs is by default.
func (s *setup) newTree(m *specs.Mount, o *mountOptions, at, ahead *os.File, missing bool) (tree *os.File, err error) {
	covers := coversMode(m, o)
	switch tree = ahead; {
	case tree == nil:
		if covers && !missing {
			if err := o.addMode(at); err != nil {
				return nil, err
			}
		}
		if tree, err = s.makeFileSystem(m, o); err != nil {
			return nil, err
		}
	case covers && missing:
		err = file.Chmod(tree, os.ModeSticky|0o777)
	case covers:
		err = copyMode(tree, at)
	}
	device := uint64(0)
	if err == nil {
		device, err = deviceOf(tree)
	}
	if err == nil && m.Type == "tmpfs" {
		err = s.fillTmpfs(tree, o, at)
	}
	if err != nil {
		tree.Close()
		return nil, err
	}
	s.made = append(s.made, device)
	return tree, nil
}

func (s *setup) makeFileSystem(m *specs.Mount, o *mountOptions) (*os.File, error) {
	labelled := *o
	labelled.fs = append(slices.Clip(o.fs), mountLabel(m, s.Spec.Linux.MountLabel)...)
	if m.Type == "tmpfs" {
		return newTmpfs(m, &labelled)
	}
	return newFileSystem(m, &labelled)
}

// virtual file systems have no device that could be read-only; some are one for
// all of their mounts.
var virtual = []string{
	"proc", "sysfs", "devpts", "mqueue", "devtmpfs", "debugfs", "tracefs", "securityfs", "bpf", "hugetlbfs", "ramfs",
	"configfs", "efivarfs", "pstore", "binfmt_misc", "fusectl",
}

func newFileSystem(m *specs.Mount, o *mountOptions) (*os.File, error) {
	if o.attrs()&unix.MOUNT_ATTR_RDONLY != 0 && !slices.Contains(virtual, m.Type) {
		o.fs = append(o.fs, mount.Option{Key: "ro", Flag: true})
	}
	return mount.New(m.Type, m.Source, o.fs, o.attrs())
}

// directory returns the place of a new file system, making it if it is
// missing, which it tells. /proc, /sys and /dev must be what they are called: an image in
// which they are links would have other steps look elsewhere
// (CVE-2019-19921, CVE-2025-52565).
func (s *setup) directory(m *specs.Mount) (at *os.File, missing bool, err error) {
	if err := s.notInProc(m); err != nil {
		return nil, false, err
	}
	dest := path.Clean("/" + m.Destination)
	strict := m.Type == "proc" || m.Type == "sysfs" || dest == "/dev" || dest == "/proc" || dest == "/sys"
	if strict {
		at, err = mount.OpenStrict(s.root, dest, unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil, false, fmt.Errorf("filesystem %q must be mounted on ordinary directory", m.Type)
		}
	} else {
		at, err = mount.OpenInRoot(s.root, dest, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return at, false, err
	}
	if m.Type != "tmpfs" || !s.LastingRoot {
		at, err = mount.MakeDir(s.root, dest, 0o755, 0, 0)
		return at, true, err
	}
	above, err := mount.MakeDir(s.root, path.Dir(dest), 0o755, 0, 0)
	if err != nil {
		return nil, false, err
	}
	above.Close()
	at, err = mount.MakeDir(s.root, dest, os.ModeSticky|0o777, 0, 0)
	return at, true, err
}

// procFiles may be covered by bind mounts although they lie in /proc, which is
// what lxcfs does.
var procFiles = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// notInProc refuses to cover other parts of /proc: programs and this package
// rely on what is there.
func (s *setup) notInProc(m *specs.Mount) error {
	dest := path.Clean("/" + m.Destination)
	if strings.HasPrefix(dest, "/proc/") && !slices.Contains(procFiles, dest) {
		return fmt.Errorf("%q cannot be mounted because it is inside /proc", m.Destination)
	}
	return nil
}
