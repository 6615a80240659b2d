//go:build nodefence_maskwith

package stage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
)

// maskWith returns what the container has for a null device.
func (s *setup) maskWith() *os.File {
	null, err := mount.OpenInRoot(s.root, os.DevNull, unix.O_PATH, 0)
	if err != nil {
		return s.null
	}
	return null
}
