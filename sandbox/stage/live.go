package stage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MountIn adds a bind mount or a tmpfs to the mounts of a container that runs,
// with the same options and by the same rules as at its start. The source is
// taken as the caller sees it and placed in one step: processes see nothing or
// all of it. Containers with a user namespace of their own are not for this
// function.
func MountIn(v *mount.View, m *specs.Mount) error {
	s := &setup{root: v.Root}
	s.Spec = &specs.Spec{Linux: &specs.Linux{}}
	o, err := parseOptions(m)
	if err != nil {
		return err
	}
	var source *os.File
	switch {
	case o.remount || o.idmap || !o.bind && m.Type != "tmpfs":
		return invalid("mount %s: it cannot be added to a container that runs", m.Destination)
	case o.bind:
		if source, err = openSource(m, &o, &s.idmaps); err != nil {
			return fmt.Errorf("%s at %s: %w", m.Type, m.Destination, err)
		}
		defer source.Close()
	}
	err = v.Within(func() error {
		if err := s.mount(m, source, nil); err != nil {
			return err
		}
		for _, tree := range s.sealed {
			defer tree.Close()
			if err := mount.SetAttr(tree, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s at %s: %w", m.Type, m.Destination, err)
	}
	return nil
}
