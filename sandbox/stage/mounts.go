package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// openSources takes what comes from the host's file systems, while the mount
// namespace is still tied to the host's propagation and its paths are the
// host's.
func (s *setup) openSources() error {
	var err error
	if s.null, err = os.OpenFile(os.DevNull, unix.O_PATH|unix.O_NOFOLLOW, 0); err != nil {
		return err
	}
	if ok, err := mount.IsDevice(s.null, 1, 3); err != nil || !ok {
		return fmt.Errorf("the host's /dev/null is not the null device (%v)", err) //nolint:errorlint // err may be nil
	}
	s.sources = make([]*os.File, len(s.Spec.Mounts))
	for i := range s.Spec.Mounts {
		m := &s.Spec.Mounts[i]
		o, err := parseOptions(m)
		switch {
		case err != nil:
			return err
		case o.bind:
			s.sources[i], err = openSource(m, &o)
		case m.Type == "cgroup" || m.Type == "cgroup2":
			err = s.openCgroups(&o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openSource(m *specs.Mount, o *mountOptions) (*os.File, error) {
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
	if err := o.tie(tree); err != nil {
		tree.Close()
		return nil, err
	}
	if err := o.apply(tree); err != nil {
		tree.Close()
		return nil, fmt.Errorf("%s: %w", m.Source, err)
	}
	return tree, nil
}

// tie sets the propagation of a bind mount. The copy is a peer of its source,
// so that "shared" needs nothing done and "slave" cuts one direction. What is
// not asked for is cut off altogether.
func (o *mountOptions) tie(tree *os.File) error {
	a := mount.Attr{Propagation: o.propagation, Recursive: true}
	switch o.propagation {
	case unix.MS_SHARED:
		a.Recursive = o.propRecursive
	case 0:
		a.Propagation = unix.MS_PRIVATE
	}
	return mount.SetAttr(tree, a)
}

func (s *setup) mountAll() error {
	for i := range s.Spec.Mounts {
		m := &s.Spec.Mounts[i]
		if err := s.mount(m, s.sources[i]); err != nil {
			return fmt.Errorf("%s at %s: %w", m.Type, m.Destination, err)
		}
		if s.sources[i] != nil {
			s.sources[i].Close()
		}
	}
	return nil
}

func (s *setup) mount(m *specs.Mount, source *os.File) error {
	o, err := parseOptions(m)
	if err != nil {
		return err
	}
	if path.Clean("/"+m.Destination) == "/" {
		return errors.New("the destination is the root directory")
	}
	if source != nil {
		return s.bind(m, source)
	}
	at, err := s.directory(m)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := ledIntoProc(m, at); err != nil {
		return err
	}
	var tree *os.File
	switch m.Type {
	case "cgroup", "cgroup2":
		return s.mountCgroups(at, &o)
	case "tmpfs":
		o.fs, err = tmpfsMode(o.fs, at)
		if err != nil {
			return err
		}
		tree, err = mount.New(m.Type, m.Type, o.fs, o.attrs())
	default:
		tree, err = mount.New(m.Type, m.Source, o.fs, o.attrs())
	}
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.Attach(tree, at); err != nil {
		return err
	}
	if o.propagation == 0 {
		return nil
	}
	return mount.SetAttr(tree, mount.Attr{Propagation: o.propagation, Recursive: o.propRecursive})
}

// directory returns the place of a new file system, making it if it is
// missing. /proc, /sys and /dev must be what they are called: an image in
// which they are links would have other steps look elsewhere
// (CVE-2019-19921, CVE-2025-52565).
func (s *setup) directory(m *specs.Mount) (*os.File, error) {
	if err := s.notInProc(m); err != nil {
		return nil, err
	}
	dest := path.Clean("/" + m.Destination)
	strict := m.Type == "proc" || m.Type == "sysfs" || dest == "/dev" || dest == "/proc" || dest == "/sys"
	if strict {
		at, err := mount.OpenStrict(s.root, dest, unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil, fmt.Errorf("filesystem %q must be mounted on ordinary directory", m.Type)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return at, err
		}
	}
	if m.Type != "tmpfs" {
		return mount.MakeDir(s.root, dest, 0o755, 0, 0)
	}
	// A tmpfs where there was nothing is for everybody, as a tmpfs is by
	// default; the directory remembers it for the next start.
	above, err := mount.MakeDir(s.root, path.Dir(dest), 0o755, 0, 0)
	if err != nil {
		return nil, err
	}
	above.Close()
	return mount.MakeDir(s.root, dest, os.ModeSticky|0o777, 0, 0)
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

func (s *setup) bind(m *specs.Mount, source *os.File) error {
	if err := s.notInProc(m); err != nil {
		return err
	}
	info, err := source.Stat()
	if err != nil {
		return err
	}
	dest := path.Clean("/" + m.Destination)
	if dest == "/proc" {
		if magic, err := mount.Magic(source); err != nil || magic != unix.PROC_SUPER_MAGIC {
			return errors.New("only procfs can be mounted at /proc")
		}
	}
	var at *os.File
	if info.IsDir() {
		at, err = mount.MakeDir(s.root, dest, 0o755, 0, 0)
	} else {
		at, err = mount.MakeFile(s.root, dest, 0o755)
	}
	if err == nil {
		defer at.Close()
		err = sameKind(info, at)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type", err)
	}
	if err != nil {
		return err
	}
	if err := ledIntoProc(m, at); err != nil {
		return err
	}
	return mount.Attach(source, at)
}

// ledIntoProc is notInProc for the place that was found: a link may have led
// there.
func ledIntoProc(m *specs.Mount, at *os.File) error {
	dest := path.Clean("/" + m.Destination)
	if dest == "/proc" || slices.Contains(procFiles, dest) {
		return nil
	}
	covers, err := coversProc(at)
	if err == nil && covers {
		err = fmt.Errorf("%q cannot be mounted because it is inside /proc", m.Destination)
	}
	return err
}

func sameKind(source os.FileInfo, at *os.File) error {
	info, err := at.Stat()
	if err == nil && info.IsDir() != source.IsDir() {
		err = unix.ENOTDIR
	}
	return err
}

// tmpfsMode gives a tmpfs the mode of the directory that it covers, unless
// the options say another: /tmp stays 1777.
func tmpfsMode(options []mount.Option, at *os.File) ([]mount.Option, error) {
	if slices.ContainsFunc(options, func(o mount.Option) bool { return o.Key == "mode" }) {
		return options, nil
	}
	info, err := at.Stat()
	if err != nil {
		return nil, err
	}
	mode := info.Mode().Perm()
	if info.Mode()&os.ModeSticky != 0 {
		mode |= unix.S_ISVTX
	}
	return append(options, mount.Option{Key: "mode", Value: fmt.Sprintf("%04o", uint32(mode))}), nil
}
