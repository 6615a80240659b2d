package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// bindOwn shows a part of the container's own tree in a second place.
func (s *setup) bindOwn(m *specs.Mount, o *mountOptions) error {
	from, err := mount.OpenInRoot(s.root, s.inRoot(m.Source), unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("bind source: %w", err)
	}
	defer from.Close()
	tree, err := mount.CloneFile(from, o.recursive)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := o.prepare(tree, m, &s.idmaps); err != nil {
		return err
	}
	return s.bind(m, tree)
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
