package container

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	mounttypes "github.com/moby/moby/api/types/mount"

	"github.com/berth-engine/berth/api"
)

// editMounts takes mounts away and adds others, in the list of mounts and in
// the fields of the request that inspect shows.
func editMounts(next *settings, edit *api.ContainerEdit) error {
	if len(edit.Unmount)+len(edit.Binds)+len(edit.Mounts) == 0 {
		return nil
	}
	mounts := slices.Clone(next.Mounts)
	for _, dest := range edit.Unmount {
		dest, err := destination(dest)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(mounts, func(m Mount) bool { return m.Destination == dest })
		if at < 0 {
			return notFound("nothing is mounted at %s", dest)
		}
		mounts = slices.Delete(mounts, at, at+1)
		forgetMount(next.Config, next.HostConfig, dest)
	}
	add := func(m Mount, err error) error {
		if err == nil && slices.ContainsFunc(mounts, func(o Mount) bool { return o.Destination == m.Destination }) {
			err = invalid("Duplicate mount point: %s", m.Destination)
		}
		mounts = append(mounts, m)
		return err
	}
	for _, b := range edit.Binds {
		if err := add(parseBind(b)); err != nil {
			return err
		}
	}
	for i := range edit.Mounts {
		if err := add(parseMount(&edit.Mounts[i])); err != nil {
			return err
		}
	}
	h := next.HostConfig
	h.Binds = slices.Concat(h.Binds, edit.Binds)
	h.Mounts = slices.Concat(h.Mounts, edit.Mounts)
	slices.SortFunc(mounts, func(a, b Mount) int { return strings.Compare(a.Destination, b.Destination) })
	next.Mounts = mounts
	return nil
}

// forgetMount takes what is mounted at dest out of the request.
func forgetMount(c *container.Config, h *container.HostConfig, dest string) {
	h.Binds = slices.DeleteFunc(slices.Clone(h.Binds), func(b string) bool {
		m, err := parseBind(b)
		return err == nil && m.Destination == dest
	})
	is := func(path string) bool {
		d, err := destination(path)
		return err == nil && d == dest
	}
	h.Mounts = slices.DeleteFunc(slices.Clone(h.Mounts), func(m mounttypes.Mount) bool { return is(m.Target) })
	h.Tmpfs = maps.Clone(h.Tmpfs)
	maps.DeleteFunc(h.Tmpfs, func(path, _ string) bool { return is(path) })
	c.Volumes = maps.Clone(c.Volumes)
	maps.DeleteFunc(c.Volumes, func(path string, _ struct{}) bool { return is(path) })
}
