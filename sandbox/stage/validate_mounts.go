package stage

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validateMounts refuses options that contradict each other. userNS: the
// container is in a user namespace whose mappings idmap may take.
func validateMounts(spec *specs.Spec, userNS bool) error {
	if _, _, err := rootPropagation(spec.Linux.RootfsPropagation); err != nil {
		return err
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		o, err := parseOptions(m)
		if err != nil {
			return err
		}
		mapped := len(m.UIDMappings) > 0
		switch {
		case o.copyUp && (m.Type != "tmpfs" || o.bind || o.remount):
			return invalid("mount %s: tmpcopyup is for a tmpfs", m.Destination)
		case mapped != (len(m.GIDMappings) > 0):
			return invalid("mount %s: uidMappings and gidMappings go together", m.Destination)
		case o.idmap && !mapped && !userNS:
			return invalid("mount %s: idmap needs uidMappings and gidMappings, since there is no user namespace", m.Destination)
		case o.idmap && o.remount:
			return invalid("mount %s: owners cannot be mapped by a remount", m.Destination)
		}
		for _, ids := range [][]specs.LinuxIDMapping{m.UIDMappings, m.GIDMappings} {
			if err := validateIDs("mount "+m.Destination, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxMappings is the kernel's limit (UID_GID_MAP_MAX_EXTENTS).
const maxMappings = 340

// validateIDs refuses mappings that the kernel would refuse without a reason.
func validateIDs(what string, ids []specs.LinuxIDMapping) error {
	if len(ids) > maxMappings {
		return invalid("%s: %d id mappings, %d are allowed", what, len(ids), maxMappings)
	}
	overlap := func(a, b, size, other uint32) bool {
		return uint64(a) < uint64(b)+uint64(other) && uint64(b) < uint64(a)+uint64(size)
	}
	for i, m := range ids {
		switch {
		case m.Size == 0:
			return invalid("%s: an id mapping of size 0", what)
		// The last number means "no id".
		case uint64(m.ContainerID)+uint64(m.Size) > 1<<32-1 || uint64(m.HostID)+uint64(m.Size) > 1<<32-1:
			return invalid("%s: an id mapping exceeds 32 bits", what)
		}
		for _, n := range ids[:i] {
			if overlap(m.ContainerID, n.ContainerID, m.Size, n.Size) || overlap(m.HostID, n.HostID, m.Size, n.Size) {
				return invalid("%s: id mappings overlap", what)
			}
		}
	}
	return nil
}
