package lifecycle

import (
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
)

// sealed opens a program so that nobody can write to it by way of a process
// that executes it (CVE-2019-5736). A read-only overlay that is mounted nowhere
// does that without a copy: there is no way from it to the file below. The
// second layer, which overlayfs wants, is the root directory; it is below and
// hides nothing. Where there is no overlayfs, or where it refuses the file
// system, a sealed copy in memory serves.
func (r *Root) sealed(program string) (*os.File, error) {
	dir, name := filepath.Split(program)
	tree, err := mount.Overlay(mount.Layers{Lower: []string{filepath.Clean(dir), r.Dir}})
	if err == nil {
		defer tree.Close() // the open file holds the mount
		if f, err := mount.OpenStrict(tree, name, os.O_RDONLY, 0); err == nil {
			return f, nil
		}
	}
	f, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ns.SealedMemfd(name, f)
}
