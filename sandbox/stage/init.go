package stage

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/foreign"
	"github.com/berth-engine/berth/sandbox/hook"
)

// IsStage tells whether this process was started as one of the programs that
// Main is.
func IsStage() bool {
	return os.Args[0] == InitName || os.Args[0] == EnterName || os.Args[0] == ReaperName ||
		os.Args[0] == hook.Name || os.Args[0] == foreign.Name
}

// Main is the init stage, that of a further process, the reaper, or what
// executes a hook or another runtime, depending on os.Args[0]. It does not return.
func Main() {
	switch os.Args[0] {
	case ReaperName:
		reap()
	case hook.Name:
		hook.Main()
	case foreign.Name:
		foreign.Main()
	}
	// Credentials, capabilities and seccomp belong to a thread: this one, which
	// will also execute the program.
	runtime.LockOSThread()
	control := os.NewFile(fdControl, "control")
	if os.Args[0] == EnterName {
		os.Exit(entryMain(control))
	}
	os.Exit(initMain(control))
}

// setup is the state of the init stage.
type setup struct {
	order
	control  *os.File
	exe      *os.File
	root     *os.File   // the container's root mount
	netns    *os.File   // only with order.NetNS
	listen   *os.File   // only with Config.Listen
	unshare  uint64     // namespaces still to be made
	inGroup  bool       // start.InGroup
	inTrees  int        // start.Trees
	given    int        // the first of the descriptors to preserve
	sources  []*os.File // detached trees of bind mounts, by index in Spec.Mounts
	ahead    []*os.File // file systems that makeAhead has made, likewise
	idmaps   idmaps
	cgroups  []cgroupTree
	proc     *mount.Proc
	null     *os.File   // the real /dev/null
	empty    *os.File   // what covers directories
	sealed   []*os.File // new mounts to be read-only when all is in them
	made     []uint64   // devices of new file systems
	warnings []string
	entered  bool   // a further process: the container is there already
	args     [3]int // of its stage
}

func initMain(control *os.File) int {
	s := &setup{control: control, exe: os.NewFile(fdExe, "exe"), given: fdCommand}
	return s.perform([]step{
		{"become undumpable", becomeUndumpable},
		{"set name", func() error { return task.SetName(InitName) }}, // executed by descriptor, it has a number for a name
		{"reset signals", task.DefaultSignals},
		{"read configuration", s.read},
		{"join groups", s.joinGroups},
		{"take processors", s.processors},
		{"make namespaces", s.makeNamespaces},
		{"join namespaces", s.joinNamespaces},
		{"session keyring", s.keyring},
		{"set hostname", s.setNames},
		{"open mount sources", s.openSources},
		{"enter mount namespace", s.enterMountNS},
		{"mount root file system", s.attachRoot},
		{"mount", s.mountAll},
		{"make devices", s.makeDevices},
		{"make working directory", s.makeCwd},
		{"open terminal", s.openConsole},
		{"move network devices", s.moveDevices},
		{"run hooks", s.createHooks},
		{"kernel settings", s.kernelSettings},
		{"hide paths", s.hidePaths},
		{"pivot root", s.pivot},
		{"raise limits", s.raiseLimits},
		{"set credentials", s.restrict},
		{"report", s.report},
	})
}

// perform takes the steps, reports, and executes the program at the parent's
// word.
func (s *setup) perform(steps []step) int {
	for _, step := range steps {
		if err := step.do(); err != nil {
			_ = send(s.control, frameFailed, (&failure{step.name, err.Error()}).describe, nil)
			return 1
		}
	}
	if !s.awaitGo() {
		return 1 // the monitor gave up
	}
	return s.exec()
}

type step struct {
	name string
	do   func() error
}

func (s *setup) read() error {
	var st start
	files, err := s.receiveOrder(2, st.describe)
	if err != nil {
		return err
	}
	s.root, s.unshare, s.inGroup, s.inTrees = files[0], st.Unshare, st.InGroup, st.Trees
	if st.Cgroups {
		s.cgroups = []cgroupTree{}
	}
	return s.takeFiles(files[1:])
}

// receiveOrder waits for the order, which comes with at least so many
// descriptors, and returns those behind it. An end before it says that the
// stage was not needed.
func (s *setup) receiveOrder(least int, describe func(*codec)) ([]*os.File, error) {
	var head [5]byte
	files, err := task.ReceiveFiles(s.control, head[:], startFiles)
	if errors.Is(err, io.EOF) {
		os.Exit(0)
	}
	if err != nil {
		return nil, err
	}
	body, err := receiveBody(s.control, head)
	if err != nil {
		return nil, err
	}
	if err := decode(body, describe); err != nil || head[0] != frameOrder || len(files) < least {
		return nil, fmt.Errorf("unexpected message %q with %d descriptors (%v)", head[0], len(files), err) //nolint:errorlint // err may be nil
	}
	defer files[0].Close()
	text, err := readAll(files[0])
	if err != nil {
		return nil, err
	}
	return files[1:], decode(text, s.order.describe)
}

// readAll reads an order, which somebody else may have to read, too.
func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxOrder {
		return nil, fmt.Errorf("order of %d bytes", info.Size())
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	return b, err
}

// takeFiles puts the standard streams in their places.
func (s *setup) takeFiles(files []*os.File) error {
	streams, want := 3, 3
	if s.Spec.Process.Terminal {
		streams, want = 0, 0
	}
	for _, more := range []bool{s.NetNS, s.Listen} {
		if more {
			want++
		}
	}
	if len(files) != want {
		return fmt.Errorf("%d descriptors instead of %d", len(files), want)
	}
	for fd, f := range files[:streams] {
		if err := task.Inherit(f, fd); err != nil {
			return err
		}
		f.Close()
	}
	if s.NetNS {
		s.netns = files[streams]
	}
	if s.Listen {
		s.listen = files[want-1]
	}
	return nil
}

// makeNamespaces makes those that a stage forked ahead was not cloned into. It
// concerns this thread alone; it is the one that executes the program, and the
// others end with that.
func (s *setup) makeNamespaces() error {
	if s.unshare == 0 {
		return nil
	}
	return os.NewSyscallError("unshare", unix.Unshare(int(s.unshare)))
}

func (s *setup) report() error {
	if s.Listen {
		// Who creates hears of a program that is missing, and not who starts.
		if _, err := lookPath(s.Spec.Process.Args[0], s.Spec.Process.Env); err != nil {
			return err
		}
	}
	return send(s.control, frameReady, (&ready{s.warnings}).describe, nil)
}

func (s *setup) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

func (s *setup) joinNamespaces() error {
	for _, j := range s.Join {
		f, err := ns.Open(j.Path, int(j.Kinds))
		if err != nil {
			return err
		}
		err = ns.Enter(f, int(j.Kinds))
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", j.Path, err)
		}
	}
	if s.NetNS {
		defer s.netns.Close()
		if err := ns.Enter(s.netns, unix.CLONE_NEWNET); err != nil {
			return err
		}
	}
	if s.NewNet {
		if err := ns.LoopbackUp(); err != nil {
			return err
		}
	}
	if s.CgroupNS {
		// Only now that the process is in its groups: they become the roots.
		return os.NewSyscallError("unshare cgroup namespace", unix.Unshare(unix.CLONE_NEWCGROUP))
	}
	return nil
}

// enterMountNS comes after all that is done with the host's paths.
func (s *setup) enterMountNS() error {
	if s.MountNS == "" {
		return nil
	}
	f, err := openMountNS(s.MountNS)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := ns.EnterMount(f); err != nil {
		return err
	}
	// What covers files must be of a mount in this namespace.
	s.null.Close()
	return s.openNull()
}

func (s *setup) setNames() error {
	if s.Spec.Hostname != "" {
		if err := syscall.Sethostname([]byte(s.Spec.Hostname)); err != nil {
			return os.NewSyscallError("sethostname", err)
		}
	}
	if s.Spec.Domainname != "" {
		if err := syscall.Setdomainname([]byte(s.Spec.Domainname)); err != nil {
			return os.NewSyscallError("setdomainname", err)
		}
	}
	return nil
}

// attachRoot cuts the mount namespace off from the host's and puts the root
// file system into it: over "/", the one directory that every host has, unless
// hooks look for it elsewhere. Paths
// still lead to the host, since the process's root directory is what lies
// below.
//
// In the host's mount namespace, nothing of the host's is changed. Under a mount
// that is shared, its peers see the root file system and nothing in it.
func (s *setup) attachRoot() error {
	if !s.HostMounts {
		if err := cutPropagation(); err != nil {
			return err
		}
	}
	at, err := s.rootPoint()
	if err != nil {
		return err
	}
	defer at.Close()
	if err := mount.Attach(s.root, at); err != nil {
		return err
	}
	// A root that is a copy of a shared mount of the host may stay its slave.
	how, recursive, err := rootPropagation(s.Spec.Linux.RootfsPropagation)
	if err != nil {
		return err
	}
	if how != unix.MS_SLAVE {
		how, recursive = unix.MS_PRIVATE, true
	}
	return mount.SetAttr(s.root, mount.Attr{Propagation: how, Recursive: recursive})
}

// kernelSettings writes sysctls and what else goes through procfs, in an
// instance that no container can reach.
func (s *setup) kernelSettings() error {
	p := s.Spec.Process
	if len(s.Spec.Linux.Sysctl) == 0 && p.OOMScoreAdj == nil && p.ApparmorProfile == "" && p.SelinuxLabel == "" {
		return nil
	}
	if err := s.openProc(); err != nil {
		return err
	}
	// In order of names, since some change others (ip_forward).
	for _, name := range slices.Sorted(maps.Keys(s.Spec.Linux.Sysctl)) {
		if err := s.proc.Write("sys/"+sysctlPath(name), s.Spec.Linux.Sysctl[name]); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	if p.OOMScoreAdj == nil {
		return nil
	}
	return s.oomScore(*p.OOMScoreAdj)
}

// sysctlPath turns the dots of a name into slashes; a name with slashes has
// dots that are meant (net/ipv4/conf/eth0.1/forwarding).
func sysctlPath(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch c {
		case '/':
			return name
		case '.':
			b[i] = '/'
		}
	}
	return string(b)
}

// oomScore applies the part that is allowed: lowering the score needs
// CAP_SYS_RESOURCE.
func (s *setup) oomScore(score int) error {
	err := s.proc.Write("self/oom_score_adj", fmt.Sprint(score))
	if errors.Is(err, os.ErrPermission) {
		s.warn("oom_score_adj %d is not allowed here and was not set", score)
		return nil
	}
	return err
}

func (s *setup) pivot() error {
	for _, tree := range s.sealed {
		err := mount.SetAttr(tree, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY})
		tree.Close()
		if err != nil {
			return err
		}
	}
	if s.Spec.Root != nil && s.Spec.Root.Readonly {
		if err := mount.SetAttr(s.root, mount.Attr{Set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return err
		}
	}
	change := mount.Pivot
	switch {
	case s.HostMounts:
		change = mount.ChangeRoot
	case s.NoPivot:
		change = mount.Chroot
	}
	if err := change(s.root); err != nil {
		return err
	}
	return s.propagateRoot()
}

// propagateRoot sets what must wait until the root stands: "shared" is the
// container's own new group, with the host it shares nothing; a mount that is
// unbindable could not have been hidden in part. The others attachRoot has set.
func (s *setup) propagateRoot() error {
	how, recursive, err := rootPropagation(s.Spec.Linux.RootfsPropagation)
	if err != nil || how != unix.MS_SHARED && how != unix.MS_UNBINDABLE {
		return err
	}
	return mount.SetAttr(s.root, mount.Attr{Propagation: how, Recursive: recursive})
}

// rootPropagation reads Linux.RootfsPropagation. Private is the default.
func rootPropagation(word string) (how uint64, recursive bool, err error) {
	if word == "" {
		return unix.MS_PRIVATE, false, nil
	}
	how = propagations[word]
	if rec, ok := strings.CutPrefix(word, "r"); ok && how == 0 {
		how, recursive = propagations[rec], true
	}
	if how == 0 {
		return 0, false, invalid("unknown rootfsPropagation %q", word)
	}
	return how, recursive, nil
}
