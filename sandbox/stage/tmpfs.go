package stage

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// newTmpfs leaves out that it is to be read-only: other mounts and devices in it
// come first.
func newTmpfs(m *specs.Mount, o *mountOptions) (*os.File, error) {
	return mount.New(m.Type, cmp.Or(m.Source, m.Type), o.fs, o.attrs()&^unix.MOUNT_ATTR_RDONLY)
}

// fillTmpfs does what comes after a tmpfs was made: with tmpcopyup it gets what
// is in the directory that it is to cover.
func (s *setup) fillTmpfs(tree *os.File, o *mountOptions, at *os.File) error {
	if o.copyUp {
		// The stage never collects, since it lives so shortly; a big directory
		// makes it live longer.
		defer debug.SetGCPercent(debug.SetGCPercent(100))
		if err := copyUp(tree, at); err != nil {
			return fmt.Errorf("tmpcopyup: %w", err)
		}
	}
	if o.attrs()&unix.MOUNT_ATTR_RDONLY != 0 {
		s.sealed = append(s.sealed, tree)
	}
	return nil
}

// copyUp fills a tmpfs with what it is to cover. The mode stays its own.
func copyUp(tree, at *os.File) error {
	from, err := file.Reopen(at, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := file.Reopen(tree, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer to.Close()
	st, err := file.StatAt(to, "")
	if err != nil {
		return err
	}
	if err := file.CopyTree(context.Background(), to, from); err != nil {
		return err
	}
	return file.Chmod(to, st.Mode)
}

func (o *mountOptions) names(key string) bool {
	return slices.ContainsFunc(o.fs, func(o mount.Option) bool { return o.Key == key })
}

// addMode gives a tmpfs the mode of the directory that it covers: /tmp stays
// 1777.
func (o *mountOptions) addMode(at *os.File) error {
	info, err := at.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	for bit, flag := range map[os.FileMode]os.FileMode{unix.S_ISVTX: os.ModeSticky, unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid} {
		if info.Mode()&flag != 0 {
			mode |= bit
		}
	}
	o.fs = append(o.fs, mount.Option{Key: "mode", Value: fmt.Sprintf("%04o", uint32(mode))})
	return nil
}

// copyMode is addMode for one that was made before it was known what it covers.
// It goes by way of the host's procfs, which is still there.
func copyMode(tree, at *os.File) error {
	info, err := at.Stat()
	if err != nil {
		return err
	}
	return file.Chmod(tree, info.Mode())
}
