package stage

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// outside is what the stage's parent does for a stage in a user namespace,
// where root may neither join what belongs to the host nor go through the
// host's directories; and what a Go program cannot do for itself, which is to
// enter a user or time namespace.
type outside struct {
	User       bool // a user namespace: the one at UserNS, or a new one
	UserNS     string
	UIDs, GIDs []specs.LinuxIDMapping
	Time       bool // a time namespace, as well
	TimeNS     string
	Offsets    []ns.TimeOffset
	Join       []joined // before these
	NetNS      bool     // and Plan.NetNS
	MountNS    string
	// For the trees of the mounts, only with User.
	Root       string
	Mounts     []specs.Mount
	CgroupDirs []string
	CgroupNS   bool
	// Limits are raised by who has the right to, only with User.
	Limits []specs.POSIXRlimit
}

func (o *outside) describe(c *codec) {
	c.flag(&o.User)
	c.str(&o.UserNS)
	list(c, &o.UIDs, describeIDs)
	list(c, &o.GIDs, describeIDs)
	c.flag(&o.Time)
	c.str(&o.TimeNS)
	list(c, &o.Offsets, func(c *codec, t *ns.TimeOffset) { c.str(&t.Clock); num(c, &t.Seconds); num(c, &t.Nanoseconds) })
	list(c, &o.Join, describeJoined)
	c.flag(&o.NetNS)
	c.str(&o.MountNS)
	c.str(&o.Root)
	list(c, &o.Mounts, describeMount)
	list(c, &o.CgroupDirs, (*codec).str)
	c.flag(&o.CgroupNS)
	list(c, &o.Limits, describeLimit)
}

// takeOutside moves to the parent what is the parent's.
func takeOutside(o *order, p *Plan, n *namespaces) {
	if n.user == nil && n.time == nil {
		return
	}
	out := outside{}
	if n.pid != "" {
		out.Join = []joined{{n.pid, unix.CLONE_NEWPID}}
		p.PidNS = ""
	}
	if n.time != nil {
		out.Time, out.TimeNS, out.Offsets = true, n.time.Path, timeOffsets(o.Spec)
	}
	if n.user != nil {
		out.User, out.UserNS = true, n.user.Path
		out.UIDs, out.GIDs = o.Spec.Linux.UIDMappings, o.Spec.Linux.GIDMappings
		out.Join = append(out.Join, o.Join...)
		out.NetNS, out.MountNS = o.NetNS, o.MountNS
		if o.Spec.Root != nil {
			out.Root = o.Spec.Root.Path
		}
		out.Mounts, out.CgroupDirs, out.CgroupNS = o.Spec.Mounts, o.CgroupDirs, o.CgroupNS
		if o.Spec.Process != nil {
			out.Limits = o.Spec.Process.Rlimits
		}
		o.Join, o.NetNS, o.MountNS, o.Opened = nil, false, "", true
	}
	p.Outside = toHex(encode(out.describe))
}

// forkInto forks the stage into its user and time namespaces, and with a user
// namespace into all others, so that the new ones belong to it.
func (p *Process) forkInto(exe *os.File, plan *Plan, group *os.File, files []*os.File) error {
	text, err := fromHex(plan.Outside)
	if err != nil {
		return err
	}
	out := new(outside)
	if err := decode(text, out.describe); err != nil {
		return err
	}
	s := ns.SpawnSpec{
		Exe: exe, Args: []string{InitName}, Env: stageEnv, Files: files, Cgroup: group,
		Unshare: plan.Clone, Twice: true, Setsid: true, Root: out.User, Nofile: ns.OriginalNofile(),
	}
	defer func() {
		for _, j := range s.Join {
			if j.File != p.user && j.File != plan.NetNS {
				j.File.Close()
			}
		}
	}()
	if err := out.open(plan, &s); err != nil {
		return err
	}
	if out.User {
		if p.user, err = out.userNS(); err != nil {
			return err
		}
		s.Join = append(s.Join, ns.JoinNS{File: p.user, Kind: unix.CLONE_NEWUSER})
	}
	p.outside = out
	p.Pid, p.PidFD, err = ns.Spawn(&s)
	if e := (*ns.SpawnError)(nil); errors.As(err, &e) && e.Step == "become root" {
		return fmt.Errorf("the user namespace has no root (containerID 0): %w", err)
	}
	return err
}

// open adds the namespaces to join before the user namespace, while the host's
// rights are there.
func (o *outside) open(plan *Plan, s *ns.SpawnSpec) error {
	add := func(f *os.File, err error, kind int) error {
		if err == nil {
			s.Join = append(s.Join, ns.JoinNS{File: f, Kind: kind})
		}
		return err
	}
	for _, j := range o.Join {
		f, err := ns.Open(j.Path, int(j.Kinds))
		if err := add(f, err, int(j.Kinds)); err != nil {
			return err
		}
	}
	if o.NetNS {
		if plan.NetNS == nil {
			return errors.New("no network namespace was given")
		}
		s.Join = append(s.Join, ns.JoinNS{File: plan.NetNS, Kind: unix.CLONE_NEWNET})
	}
	if o.MountNS != "" {
		f, err := openMountNS(o.MountNS)
		if err := add(f, err, unix.CLONE_NEWNS); err != nil {
			return err
		}
	}
	if !o.Time {
		return nil
	}
	if o.TimeNS != "" {
		f, err := ns.Open(o.TimeNS, unix.CLONE_NEWTIME)
		return add(f, err, unix.CLONE_NEWTIME)
	}
	f, err := ns.NewTimeNS(o.Offsets)
	return add(f, err, unix.CLONE_NEWTIME)
}

func (o *outside) userNS() (*os.File, error) {
	if o.UserNS != "" {
		return ns.Open(o.UserNS, unix.CLONE_NEWUSER)
	}
	return ns.NewUserNS(idMap(o.UIDs), idMap(o.GIDs))
}

// dropUser closes what was held for openTrees.
func (p *Process) dropUser() {
	p.user.Close()
	p.user = nil
}

// giveStreams makes pipes root's of the container, who may not take them: the
// program reopens them as /dev/stdout.
func (p *Process) giveStreams(streams []*os.File) error {
	uid, err := ns.RootOf(p.PidFD, "uid_map")
	if err != nil {
		return err
	}
	gid, err := ns.RootOf(p.PidFD, "gid_map")
	if err != nil {
		return err
	}
	for _, f := range streams {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue
		}
		if err := unix.Fchown(int(f.Fd()), uid, gid); err != nil {
			return os.NewSyscallError("fchown", err)
		}
	}
	return nil
}
