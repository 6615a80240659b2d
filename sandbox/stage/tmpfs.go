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

// newTmpfs makes the file system that is to cover at. One that is read-only
// becomes so at the end: the other mounts and devices in it come first.
func (s *setup) newTmpfs(m *specs.Mount, o *mountOptions, at *os.File) (*os.File, error) {
	options, err := tmpfsMode(o.fs, at)
	if err != nil {
		return nil, err
	}
	tree, err := mount.New(m.Type, cmp.Or(m.Source, m.Type), options, o.attrs()&^unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, err
	}
	if o.copyUp {
		// The stage never collects, since it lives so shortly; a big directory
		// makes it live longer.
		defer debug.SetGCPercent(debug.SetGCPercent(100))
		if err := copyUp(tree, at); err != nil {
			tree.Close()
			return nil, fmt.Errorf("tmpcopyup: %w", err)
		}
	}
	if o.attrs()&unix.MOUNT_ATTR_RDONLY != 0 {
		s.sealed = append(s.sealed, tree)
	}
	return tree, nil
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
	for bit, flag := range map[os.FileMode]os.FileMode{unix.S_ISVTX: os.ModeSticky, unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid} {
		if info.Mode()&flag != 0 {
			mode |= bit
		}
	}
	return append(options, mount.Option{Key: "mode", Value: fmt.Sprintf("%04o", uint32(mode))}), nil
}
