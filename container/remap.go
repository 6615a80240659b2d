package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/kernel/ns"
)

// Remap has containers run in a user namespace, with these ids of the host for
// theirs (dockerd's userns-remap). Files on disk have the host's ids, but those
// of images, which are shown with others.
type Remap struct {
	UIDs, GIDs []ns.IDMap
	// User is a namespace with these mappings, see Open; networks belong to it.
	User *os.File
}

// Open takes the user namespace of a container that runs since an engine before
// this one, or makes it: containers may share namespaces of others, and those
// that show or change them must be of one owner.
func (m *Remap) Open(read *Reading) (err error) {
	read.Wait()
	for _, f := range read.found {
		if f.err != nil || !f.record.State.live() || f.record.Pid <= 0 || f.record.HostConfig.UsernsMode.IsHost() {
			continue
		}
		if m.User = m.of(f.record.Pid, f.record.ID); m.User != nil {
			return nil
		}
	}
	if m.User, err = ns.NewUserNS(m.UIDs, m.GIDs); err != nil {
		return fmt.Errorf("userns-remap: %w", err)
	}
	return nil
}

// of opens the user namespace of a process if that is in a container's groups
// and has these mappings.
func (m *Remap) of(pid int, id string) *os.File {
	dir := "/proc/" + strconv.Itoa(pid)
	f, err := ns.Open(dir+"/ns/user", nsUser)
	if err != nil {
		return nil
	}
	groups, err := os.ReadFile(dir + "/cgroup")
	if err == nil && strings.Contains(string(groups), id) && hasMappings(dir+"/uid_map", m.UIDs) && hasMappings(dir+"/gid_map", m.GIDs) {
		return f
	}
	f.Close()
	return nil
}

const nsUser = 0x10000000 // CLONE_NEWUSER

func hasMappings(path string, ids []ns.IDMap) bool {
	text, err := os.ReadFile(path)
	var want strings.Builder
	for _, m := range ids {
		fmt.Fprintln(&want, m.Inside, m.Outside, m.Size)
	}
	return err == nil && slices.Equal(strings.Fields(string(text)), strings.Fields(want.String()))
}

// Namespace is User; nil if nobody is remapped.
func (m *Remap) Namespace() *os.File {
	if m == nil {
		return nil
	}
	return m.User
}

// outsideOf is the host's id of one of a container's; -1 if it has none.
func outsideOf(ids []ns.IDMap, id int) int {
	for _, m := range ids {
		if id >= int(m.Inside) && id-int(m.Inside) < int(m.Size) {
			return int(m.Outside) + id - int(m.Inside)
		}
	}
	return -1
}

// overflow is what an id without a meaning is shown as (user_namespaces(7)).
const overflow = 65534

func insideOf(ids []ns.IDMap, id int) int {
	for _, m := range ids {
		if id >= int(m.Outside) && id-int(m.Outside) < int(m.Size) {
			return int(m.Inside) + id - int(m.Outside)
		}
	}
	return overflow
}

// ToHost turns an owner in a container into the host's; without remapping they
// are the same. One that the container does not know cannot own anything (-1).
func (m *Remap) ToHost(uid, gid int) (int, int) {
	if m == nil {
		return uid, gid
	}
	return outsideOf(m.UIDs, uid), outsideOf(m.GIDs, gid)
}

// fromHost is the opposite.
func (m *Remap) fromHost(uid, gid int) (int, int) {
	if m == nil {
		return uid, gid
	}
	return insideOf(m.UIDs, uid), insideOf(m.GIDs, gid)
}

// remapOf is the remapping of a container; nil: it has none.
func (s *Service) remapOf(r *Record) *Remap {
	if r.HostConfig.UsernsMode.IsHost() {
		return nil
	}
	return s.remap
}

// checkRemap speaks Docker's words.
func (s *Service) checkRemap(h *container.HostConfig) error {
	switch {
	case h.UsernsMode != "" && !h.UsernsMode.IsHost():
		return invalid("invalid user namespace mode: %v", h.UsernsMode)
	case s.remap == nil || h.UsernsMode.IsHost():
		return nil
	case h.Privileged:
		return invalid("privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode")
	case h.NetworkMode.IsHost():
		return invalid("cannot share the host's network namespace when user namespaces are enabled")
	case h.PidMode.IsHost():
		return invalid("cannot share the host PID namespace when user namespaces are enabled")
	}
	return nil
}

// userNamespace opens the user namespace of a run: that of the namespaces which
// it shares with another container, or has from a run before, since only their
// owner's root may change or show what is in them.
func (s *Service) userNamespace(r *Record, place netPlace, joined *os.File) (*os.File, error) {
	from := joined
	if from == nil {
		from = place.ns
	}
	if from == nil {
		return nil, errors.New("a container in a user namespace has no network namespace")
	}
	user, err := ns.UserOf(from)
	if err != nil {
		return nil, err
	}
	host, err := os.Open("/proc/self/ns/user")
	if err != nil {
		return nil, errors.Join(err, user.Close())
	}
	defer host.Close()
	same, err := ns.Same(user, host)
	if err == nil && same {
		err = conflict("container %s cannot share namespaces with one that is in the host's user namespace", r.Name)
	}
	if err != nil {
		return nil, errors.Join(err, user.Close())
	}
	return user, nil
}

// ownVolume gives a volume in which nothing is yet to the container's root.
func (m *Remap) ownVolume(dir string) error {
	if m == nil {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("volume: %w", err)
	}
	defer f.Close()
	st, err := file.StatAt(f, "")
	if err != nil || st.UID != 0 || st.GID != 0 {
		return err
	}
	if names, err := f.Readdirnames(1); err == nil && len(names) > 0 {
		return nil
	}
	uid, gid := m.ToHost(0, 0)
	return f.Chown(uid, gid)
}

// makeDirs is os.MkdirAll; what it makes belongs to the container's root.
func (m *Remap) makeDirs(dir string) error {
	if m == nil {
		return os.MkdirAll(dir, 0o755)
	}
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := m.makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	uid, gid := m.ToHost(0, 0)
	return os.Lchown(dir, uid, gid)
}
