package stage

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// hidePaths covers the masked paths and makes the read-only ones so. All of it
// is by descriptor: a path is resolved once, inside the root.
func (s *setup) hidePaths() error {
	for _, p := range s.readonlyPaths() {
		if err := s.readOnly(p); err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	for _, p := range s.maskedPaths() {
		if err := s.mask(p); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	if s.empty != nil {
		return s.empty.Close()
	}
	return nil
}

// lookup opens a path in the root; nil if there is none.
func (s *setup) lookup(path string) (*os.File, error) {
	at, err := mount.OpenInRoot(s.root, path, unix.O_PATH, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return at, err
}

func (s *setup) readOnly(path string) error {
	at, err := s.lookup(path)
	if err != nil || at == nil {
		return err
	}
	defer at.Close()
	tree, err := mount.CloneFile(at, true)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.SetAttr(tree, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY, Recursive: true}); err != nil {
		return err
	}
	return mount.Attach(tree, at)
}

// mask covers a file with the null device and a directory with an empty
// read-only one.
func (s *setup) mask(path string) error {
	at, err := s.lookup(path)
	if err != nil || at == nil {
		return err
	}
	defer at.Close()
	info, err := at.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() && s.empty == nil {
		// One for all of them: the next are copies of this mount.
		if s.empty, err = mount.New("tmpfs", "tmpfs", nil, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
		return mount.Attach(s.empty, at)
	}
	with := s.empty
	if !info.IsDir() {
		with = s.maskWith()
	}
	tree, err := mount.CloneFile(with, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.SetAttr(tree, mount.Attr{Propagation: unix.MS_PRIVATE}); err != nil {
		return err
	}
	return mount.Attach(tree, at)
}
