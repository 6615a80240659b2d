//go:build !nodefence_fill

package volume

import (
	"errors"
	"os"

	"github.com/berth-engine/berth/kernel/mount"
)

// fill copies the tree by descriptor: a container that has the volume already
// may exchange the directories in it for links to the host meanwhile.
func fill(dir string, from *os.File) error {
	to, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = mount.CopyTree(from, to)
	if err == nil {
		var info os.FileInfo
		if info, err = from.Stat(); err == nil {
			err = to.Chmod(info.Mode())
		}
	}
	return errors.Join(err, to.Close())
}
