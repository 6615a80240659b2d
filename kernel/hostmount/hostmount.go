// Package hostmount makes and takes away mounts in the host's own table, for
// the few that must outlive the engine and be seen by people: volumes with a
// device. All other mounts of the engine are package mount's.
package hostmount

import (
	"errors"
	"fmt"
	"os"

	"github.com/moby/sys/mount"
	"github.com/moby/sys/mountinfo"
)

// Mount mounts device at the directory target, with options as mount(8) spells
// them ("bind,ro", "size=10m,uid=1000"). What the kernel does not know as an
// option is passed to the file system.
func Mount(device, target, fstype, options string) error {
	if err := mount.Mount(device, target, fstype, options); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// Unmount takes the mount at target away; one that is in use goes when its last
// user has. It is no error if there is none.
func Unmount(target string) error {
	err := mount.Unmount(target)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

// Mounted tells whether something is mounted at target.
func Mounted(target string) (bool, error) {
	ok, err := mountinfo.Mounted(target)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return ok, err
}
