package executor

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	bkexecutor "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"

	"github.com/berth-engine/berth/kernel/mount"
)

// Remap has steps run in a user namespace, as containers do (dockerd's
// userns-remap). The cache does not know of it: its files have the owners that
// images have, and steps are shown others.
type Remap struct {
	User *os.File // the user namespace, which networks belong to; it stays the caller's
	// ToHost turns an owner in the namespace into the host's; -1 for one that it
	// does not know.
	ToHost func(uid, gid int) (int, int)
}

// namespace is User; nil if nobody is remapped.
func (r *Remap) namespace() *os.File {
	if r == nil {
		return nil
	}
	return r.User
}

// root is the host's ids of the steps' root.
func (r *Remap) root() (uid, gid int) {
	if r == nil {
		return 0, 0
	}
	return r.ToHost(0, 0)
}

// refuse says what a step in a user namespace cannot have, as for containers.
func (r *Remap) refuse(meta bkexecutor.Meta) error {
	switch {
	case r == nil:
		return nil
	case meta.SecurityMode == pb.SecurityMode_INSECURE:
		return errors.New("security.insecure is incompatible with user namespaces: build with an engine without userns-remap")
	case meta.NetMode == pb.NetMode_HOST:
		return errors.New("cannot share the host's network namespace when user namespaces are enabled")
	}
	return nil
}

// show has the owners in a detached tree shown as the namespace has them.
func (r *Remap) show(tree *os.File) error {
	if r == nil {
		return nil
	}
	err := mount.ShowMapped(tree, r.User)
	if !errdefs.IsNotImplemented(err) {
		return err
	}
	// Secrets and sockets of ssh agents are files that BuildKit makes for the
	// step, often on a tmpfs, which could not map owners before Linux 6.3. Such a
	// file can as well change hands. Directories are the cache's.
	info, statErr := os.Stat(descriptorPath(tree))
	if statErr != nil {
		return statErr
	}
	if info.IsDir() {
		return err
	}
	st, ok := mount.StatOf(info)
	if !ok {
		return err
	}
	uid, gid := r.ToHost(int(st.UID), int(st.GID))
	if uid < 0 || gid < 0 {
		return fmt.Errorf("user %d and group %d are not among those of the user namespace", st.UID, st.GID)
	}
	return os.Chown(descriptorPath(tree), uid, gid)
}
