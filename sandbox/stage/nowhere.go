//go:build !nodefence_nowhere

package stage

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// startDir is the root directory of the stage of a further process while Go's
// runtime starts, which opens files by path: a FIFO there would hold it for
// ever. It is empty, read-only and on no path.
func startDir(int) (*os.File, error) { return nowhere() }

var nowhere = sync.OnceValues(func() (*os.File, error) {
	return mount.New("tmpfs", "nowhere", []mount.Option{{Key: "mode", Value: "0755"}, {Key: "size", Value: "4096"}},
		unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
})
