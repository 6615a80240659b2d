package container

import (
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/container/spec"
)

// joinOthers opens what a container shares with others: their namespaces, and
// with the one of IPC also /dev/shm, which is a file system beside it.
func (s *Service) joinOthers(r *Record, in *spec.Input, set *mountSet) error {
	h := r.HostConfig
	if h.PidMode.IsContainer() {
		f, _, err := s.openNamespace(h.PidMode.Container(), "pid", r.Name)
		if err != nil {
			return err
		}
		set.open = append(set.open, f)
		in.Namespaces.PID = descriptorPath(f)
	}
	if !h.IpcMode.IsContainer() {
		return nil
	}
	ref := h.IpcMode.Container()
	other, err := s.find(ref)
	if err == nil && !other.record().HostConfig.IpcMode.IsShareable() {
		err = conflict("can't join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", other.id)
	}
	if err != nil {
		return err
	}
	f, _, err := s.openNamespace(ref, "ipc", r.Name)
	if err != nil {
		return err
	}
	set.open = append(set.open, f)
	in.Namespaces.IPC = descriptorPath(f)
	box := other.streams.current()
	if box == nil {
		return conflict("can't join IPC of container %s: it has just ended", other.id)
	}
	shm, err := box.Shm()
	if errdefs.IsFailedPrecondition(err) {
		return nil // it has mounted something else there
	}
	if err != nil {
		return conflict("can't join IPC of container %s: %w", strings.TrimPrefix(other.record().Name, "/"), err)
	}
	if taken(r.Mounts, "/dev/shm") || taken(r.Mounts, "/dev") {
		return shm.Close()
	}
	set.give(shm, "/dev/shm", "bind", "nosuid", "noexec", "nodev")
	return nil
}

// taken tells whether a request mounts something at dest.
func taken(mounts []Mount, dest string) bool {
	for i := range mounts {
		if mounts[i].Destination == dest {
			return true
		}
	}
	return false
}
