package checkpoint

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// mounts gives the calling thread a mount namespace of its own, in which the
// root file system is mounted at Scratch, with all places for mounts in it:
// criu wants a mount, and would make no directories.
func (r *Restore) mounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := mount.MakePrivate(); err != nil {
		return err
	}
	if err := r.attach(); err != nil {
		return err
	}
	if err := r.makePlaces(); err != nil {
		return err
	}
	// Without what was mounted below it to find the places.
	if err := unix.Unmount(r.Scratch, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount", Path: r.Scratch, Err: err}
	}
	return r.attach()
}

func (r *Restore) attach() error {
	tree, err := mount.Clone(r.Root, true)
	if err != nil {
		return err
	}
	defer tree.Close()
	at, err := os.OpenFile(r.Scratch, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	return mount.Attach(tree, at)
}

func (r *Restore) makePlaces() error {
	root, err := os.OpenFile(r.Scratch, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range r.Places {
		if p.Source != "" {
			err = mount.Bind(root, p.Source, p.Destination, mount.BindOptions{Recursive: true})
		} else {
			err = mount.MkdirAllInRoot(root, p.Destination, 0o755, 0, 0)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Destination, err)
		}
	}
	return nil
}

// group puts criu into the groups and says where those are, from the roots of
// the hierarchies on.
func (r *Restore) group(pid int) ([]*rpc.CgroupRoot, error) {
	if err := r.Group(pid); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	return groupRoots(string(text)), nil
}

// groupRoots reads /proc/PID/cgroup (cgroups(7)).
func groupRoots(text string) []*rpc.CgroupRoot {
	var roots []*rpc.CgroupRoot
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			roots = append(roots, &rpc.CgroupRoot{Ctrl: &controller, Path: &fields[2]})
		}
	}
	return roots
}
