package stage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// namespaces says what happens to each namespace.
type namespaces struct {
	clone  uintptr  // flags for clone
	cgroup bool     // a new cgroup namespace, unshared after joining the groups
	join   []joined // entered by the init stage
	pid    string   // path of the pid namespace to fork into
	mount  string   // path of the mount namespace to enter
	// hostMounts: none is made or entered.
	hostMounts bool
	// The stage is forked into these: new ones if they have no path.
	user, time *specs.LinuxNamespace
}

var cloneFlags = map[specs.LinuxNamespaceType]uint64{
	specs.MountNamespace:   unix.CLONE_NEWNS,
	specs.PIDNamespace:     unix.CLONE_NEWPID,
	specs.IPCNamespace:     unix.CLONE_NEWIPC,
	specs.UTSNamespace:     unix.CLONE_NEWUTS,
	specs.NetworkNamespace: unix.CLONE_NEWNET,
	specs.CgroupNamespace:  unix.CLONE_NEWCGROUP,
	specs.UserNamespace:    unix.CLONE_NEWUSER,
	specs.TimeNamespace:    unix.CLONE_NEWTIME,
}

func planNamespaces(spec *specs.Spec, netnsGiven bool) (namespaces, error) {
	var plan namespaces
	var seen uint64
	for i, n := range spec.Linux.Namespaces {
		flag, ok := cloneFlags[n.Type]
		switch {
		case !ok:
			return plan, invalid("unknown namespace %q", n.Type)
		case seen&flag != 0:
			return plan, invalid("namespace %q is listed twice", n.Type)
		case n.Path != "" && !path.IsAbs(n.Path):
			return plan, invalid("namespace %q: the path %q is not absolute", n.Type, n.Path)
		}
		seen |= flag
		switch {
		case flag == unix.CLONE_NEWUSER:
			plan.user = &spec.Linux.Namespaces[i]
		case flag == unix.CLONE_NEWTIME:
			plan.time = &spec.Linux.Namespaces[i]
		case flag == unix.CLONE_NEWNET && netnsGiven:
		case n.Path != "" && flag == unix.CLONE_NEWNS:
			plan.mount = n.Path
		case n.Path != "" && flag == unix.CLONE_NEWPID:
			plan.pid = n.Path
		case n.Path != "":
			plan.join = append(plan.join, joined{n.Path, flag})
		case flag == unix.CLONE_NEWCGROUP:
			plan.cgroup = true
		default:
			plan.clone |= uintptr(flag)
		}
	}
	plan.hostMounts = seen&unix.CLONE_NEWNS == 0
	return plan, nil
}

// validateHostMounts is for containers in the mount namespace of who makes them.
func (n *namespaces) validateHostMounts(c *Config) error {
	if c.HostMounts && n.mount != "" && (joined{n.mount, unix.CLONE_NEWNS}).hosts() {
		n.mount, n.hostMounts = "", true
	}
	l, root := c.Spec.Linux, c.Spec.Root
	switch {
	case !n.hostMounts:
		return nil
	case !c.HostMounts:
		return invalid("a container needs a mount namespace that is not the host's")
	case len(l.MaskedPaths)+len(l.ReadonlyPaths) > 0: // runc's words
		return invalid("unable to restrict sys entries without a private MNT namespace")
	case n.user != nil:
		return invalid("a user namespace without a mount namespace: its root may not mount anything in the host's")
	case root == nil || !path.IsAbs(root.Path) || path.Clean(root.Path) == "/":
		return invalid("without a mount namespace, the root file system needs a path, which is not /")
	}
	return nil
}

// owns tells whether the container has a namespace of this kind apart from
// the host's, whose settings are not the container's to make.
func (n namespaces) owns(flag uint64, netnsGiven bool) bool {
	if n.clone&uintptr(flag) != 0 || flag == unix.CLONE_NEWNET && netnsGiven {
		return true
	}
	return slices.ContainsFunc(n.join, func(j joined) bool { return j.Kinds&flag != 0 && !j.hosts() })
}

// hosts tells whether a path to join leads to the namespace that we are in, so
// that joining it is the same as not having one.
func (j joined) hosts() bool {
	file := map[uint64]string{
		unix.CLONE_NEWNET: "net", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWUTS: "uts", unix.CLONE_NEWCGROUP: "cgroup",
		unix.CLONE_NEWNS: "mnt",
	}[j.Kinds]
	ours, err := os.Stat("/proc/thread-self/ns/" + file)
	if err != nil {
		return true
	}
	its, err := os.Stat(j.Path)
	return err == nil && os.SameFile(ours, its)
}

// validateUserNS: a new user namespace has mappings, and the ids of the process
// are among them.
func validateUserNS(spec *specs.Spec, user *specs.LinuxNamespace) error {
	uids, gids := spec.Linux.UIDMappings, spec.Linux.GIDMappings
	switch {
	case user == nil && len(uids)+len(gids) > 0:
		return invalid("uidMappings and gidMappings need a user namespace")
	case user == nil:
		return nil
	case user.Path != "":
		// It has its mappings. Who joins one often repeats them, or gives some
		// that mean nothing, because other runtimes ask for them.
		return nil
	case len(uids) == 0 || len(gids) == 0:
		return invalid("a new user namespace needs uidMappings and gidMappings")
	}
	if err := validateIDs("uidMappings", uids); err != nil {
		return err
	}
	if err := validateIDs("gidMappings", gids); err != nil {
		return err
	}
	if !knows(uids, 0) || !knows(gids, 0) {
		return invalid("uidMappings and gidMappings must have a containerID 0: the container is made by its root")
	}
	p := spec.Process.User
	if !knows(uids, p.UID) {
		return invalid("user %d is not in uidMappings", p.UID)
	}
	for _, gid := range append([]uint32{p.GID}, p.AdditionalGids...) {
		if !knows(gids, gid) {
			return invalid("group %d is not in gidMappings", gid)
		}
	}
	return nil
}

// knows tells whether the mappings know an id of the container.
func knows(ids []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(ids, func(m specs.LinuxIDMapping) bool {
		return id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size)
	})
}

func validateTimeNS(spec *specs.Spec, time *specs.LinuxNamespace) error {
	offsets := spec.Linux.TimeOffsets
	switch {
	case len(offsets) == 0:
		return nil
	case time == nil:
		return invalid("timeOffsets need a time namespace")
	case time.Path != "":
		return invalid("timeOffsets are for a new time namespace, not for one that is joined")
	}
	for clock, o := range offsets {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("timeOffsets: there is no clock %q (monotonic, boottime)", clock)
		}
		if o.Nanosecs >= 1e9 {
			return invalid("timeOffsets: %d nanoseconds are more than a second", o.Nanosecs)
		}
	}
	return nil
}

func timeOffsets(spec *specs.Spec) (list []ns.TimeOffset) {
	for _, clock := range slices.Sorted(maps.Keys(spec.Linux.TimeOffsets)) {
		o := spec.Linux.TimeOffsets[clock]
		list = append(list, ns.TimeOffset{Clock: clock, Seconds: o.Secs, Nanoseconds: o.Nanosecs})
	}
	return list
}

// openMountNS opens a mount namespace to be joined. All that is mounted in it
// will be replaced by the container's root file system, for everybody in it.
func openMountNS(path string) (*os.File, error) {
	f, err := ns.Open(path, unix.CLONE_NEWNS)
	if err != nil {
		return nil, err
	}
	for _, host := range []string{"/proc/thread-self/ns/mnt", "/proc/1/ns/mnt"} {
		own, err := os.Open(host)
		if errors.Is(err, os.ErrPermission) {
			continue // a process 1 that may not be looked at: its namespace cannot be given by its path either
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		same, err := ns.Same(f, own)
		own.Close()
		if err == nil && same {
			err = fmt.Errorf("mount namespace: %s is the host's, where a container would take the place of everything", path)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}
