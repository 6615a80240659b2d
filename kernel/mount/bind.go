package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// BindOptions say how Bind mounts.
type BindOptions struct {
	Recursive         bool // with what is mounted below the source
	ReadOnly          bool
	RecursiveReadOnly bool // with ReadOnly: also what is mounted below
}

// Bind shows the host's file or directory source at path in root, which is made
// there if it is missing. The mount is private from its first moment. The
// calling thread must be in the mount namespace of root (see NewView).
func Bind(root *os.File, source, path string, o BindOptions) error {
	tree, err := Clone(source, o.Recursive)
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	defer tree.Close()
	if err := SetAttr(tree, Attr{Propagation: unix.MS_PRIVATE, Recursive: o.Recursive}); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	if o.ReadOnly {
		if err := SetAttr(tree, Attr{Set: unix.MOUNT_ATTR_RDONLY, Recursive: o.RecursiveReadOnly}); err != nil {
			return fmt.Errorf("bind %s: %w", source, err)
		}
	}
	if err := Place(root, tree, path); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return nil
}

// Place attaches the detached mount tree at path in root, which is made there if
// it is missing: a directory, or a file, as the mount is. The calling thread must
// be in the mount namespace of root.
func Place(root, tree *os.File, path string) error {
	info, err := tree.Stat()
	if err != nil {
		return err
	}
	var at *os.File
	if info.IsDir() {
		at, err = MakeDir(root, path, 0o755, 0, 0)
	} else {
		at, err = MakeFile(root, path, 0o755)
	}
	if err != nil {
		return err
	}
	defer at.Close()
	return Attach(tree, at)
}

// SetReadOnly makes the mount that tree is the root of, and those below it,
// read-only.
func SetReadOnly(tree *os.File) error {
	return SetAttr(tree, Attr{Set: unix.MOUNT_ATTR_RDONLY, Recursive: true})
}
