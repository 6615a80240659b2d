package stage

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// EnterName is the name by which the berth-sandbox binary is called as the
// stage of a further process (os.Args[0]).
const EnterName = "berth-enter"

// An Entry says where a further process of a container is made.
type Entry struct {
	// Pid and PidFD are process 1: the new process joins those of its
	// namespaces that are not the caller's. Pid must have been PidFD's.
	Pid   int
	PidFD *os.File
	// Groups are the container's groups, a directory in each hierarchy, in
	// which the process begins.
	Groups []string
	// Nofile is the limit of open files where the order has none; nil: the
	// caller's.
	Nofile *unix.Rlimit
	// CPUs is ExecCPUAffinity.Initial of the order's process.
	CPUs string
	// Order is what PrepareEntry made, in a file (ns.DataMemfd).
	Order *os.File
	// Root is the container's root directory. It is needed, and used, only if
	// the container is in the caller's mount namespace (Config.HostMounts).
	Root *os.File
	// Preserve are Config.Preserve descriptors for the program.
	Preserve []*os.File
	// Terminal, as in the order: the process gets a terminal of the container
	// and no streams. Else these; nil: /dev/null.
	Terminal              bool
	Stdin, Stdout, Stderr *os.File
	// Direct lets the program run when Enter returns, if it is an order as most
	// are. The caller's own program must be sealed, as the stage's is.
	Direct bool
	// Seal, for EnterDirectly, is ns.Trampoline where the caller's program is a file
	// of the host's: no copy of it joins the container, but a program in sealed
	// memory.
	Seal ns.Sealer
}

// PrepareEntry checks how a further process of a container is to be, and makes
// an order of it. Of c.Spec, Process and of Linux Seccomp, Personality and
// MemoryPolicy are looked at. Errors are *NotImplementedError and
// *InvalidSpecError.
func PrepareEntry(c *Config) ([]byte, error) {
	if c.Spec == nil || c.Spec.Process == nil {
		return nil, invalid("incomplete spec")
	}
	lean := *c
	lean.CgroupDirs, lean.Reaper = nil, false
	lean.Spec = &specs.Spec{Process: c.Spec.Process, Linux: &specs.Linux{}}
	if l := c.Spec.Linux; l != nil {
		lean.Spec.Linux.Seccomp, lean.Spec.Linux.Personality, lean.Spec.Linux.MemoryPolicy = l.Seccomp, l.Personality, l.MemoryPolicy
	}
	if err := validateProcess(lean.Spec.Process); err != nil {
		return nil, err
	}
	if err := validateExecution(lean.Spec.Linux); err != nil {
		return nil, err
	}
	if lean.State == nil && Notifies(lean.Spec) {
		return nil, invalid("seccomp agents need a state to be given to them")
	}
	o := order{Config: lean, Notify: Notifies(lean.Spec), LimitsFirst: limitsFirst(lean.Spec)}
	return encode(o.describe), nil
}

// EnterDirectly makes a process whose program runs already, if it is an order as
// most are. Nil: it is not, or something went wrong, and nothing has happened;
// Enter says what.
func EnterDirectly(e *Entry) *Process {
	if e.Root != nil {
		return nil
	}
	return direct(e)
}

// Enter makes a further process in a container and gives it its order. It is
// the caller's child. The rest goes as for process 1: Created waits until it
// is set up, Start lets it execute its program. On an error nothing is left.
//
// The process is in all namespaces of the container before the stage starts;
// none of its threads ever sees the host. Nor does it see the container's file
// system before it can no longer be looked at (undumpable).
func Enter(exe *os.File, e *Entry) (_ *Process, err error) {
	if e.Direct {
		if p := EnterDirectly(e); p != nil {
			return p, nil
		}
	}
	ours, theirs, err := task.SocketPair()
	if err != nil {
		return nil, err
	}
	p := &Process{control: ours, container: e.Pid, asks: string(rune(frameAgent))}
	err = p.enter(exe, e, theirs)
	theirs.Close()
	if err == nil {
		p.StartTime, err = ns.ProcessStartTime(p.Pid)
	}
	if err == nil {
		err = p.orderEntry(e)
	}
	if err != nil {
		p.Abandon()
		return nil, err
	}
	return p, nil
}

func (p *Process) enter(exe *os.File, e *Entry, theirs *os.File) error {
	kinds, err := e.namespaces()
	if err != nil {
		return err
	}
	var base *os.File
	if kinds&unix.CLONE_NEWNS == 0 {
		base = e.Root
	}
	empty, err := startDir(e.Pid)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	s := &ns.SpawnSpec{
		Exe: exe, Args: []string{EnterName}, Env: []string{"GOMAXPROCS=1", "GOGC=off"},
		Files: []*os.File{null, null, null, theirs}, Empty: empty, Base: base, Setsid: true, Nofile: e.Nofile,
		// Root of the container, whoever that is.
		Root: kinds&unix.CLONE_NEWUSER != 0,
	}
	s.Files = append(s.Files, e.Preserve...)
	args := [3]int{len(e.Preserve)}
	if n := e.Nofile; n != nil && n.Max < stageFiles {
		s.Nofile = nil // the stage sets it, last
		args[1], args[2] = int(n.Cur), int(n.Max)
	}
	for _, n := range args {
		s.Args = append(s.Args, strconv.Itoa(n))
	}
	err = p.spawn(e, s, kinds)
	if err == nil && s.Root {
		err = p.raiseLimitsOf(e.Order)
	}
	return err
}

// namespaces are the kinds to join.
func (e *Entry) namespaces() (kinds int, err error) {
	kinds, err = notOurs(e.Pid)
	if err == nil {
		// It had the number for as long as we looked.
		err = ns.PidfdSignal(e.PidFD, 0)
	}
	if err != nil {
		return 0, fmt.Errorf("process 1: %w", err)
	}
	if kinds&unix.CLONE_NEWNS == 0 && e.Root == nil {
		return 0, errors.New("process 1 is not in a container") // and this would not be, either
	}
	return kinds, nil
}

// spawn makes the process in the container's namespaces and groups.
func (p *Process) spawn(e *Entry, s *ns.SpawnSpec, kinds int) error {
	s.Join = []ns.JoinNS{{File: e.PidFD, Kind: kinds}}
	if err := inGroups(s, e.Groups); err != nil {
		return err
	}
	if s.Cgroup != nil {
		defer s.Cgroup.Close()
	}
	var err error
	if s.CPUs, err = CPUs(e.CPUs); err != nil {
		return fmt.Errorf("execCPUAffinity %s: %w", e.CPUs, err)
	}
	p.Pid, p.PidFD, err = ns.Spawn(s)
	if s.Cgroup != nil && errors.Is(err, unix.EBUSY) {
		// The container moved its processes into groups below, as systemd does;
		// then processes may only be there.
		if s.Cgroup, err = groupOf(e.Pid, s.Cgroup.Name()); err != nil {
			return err
		}
		defer s.Cgroup.Close()
		p.Pid, p.PidFD, err = ns.Spawn(s)
	}
	return err
}

func (p *Process) orderEntry(e *Entry) error {
	files := []*os.File{e.Order}
	if !e.Terminal {
		streams, done, err := orNull(e.Stdin, e.Stdout, e.Stderr)
		if err != nil {
			return err
		}
		defer done()
		files = append(files, streams...)
	}
	err := task.SendFiles(p.control, frame(frameOrder, nothing), files)
	if errors.Is(err, syscall.EPIPE) {
		err = nil // why it ended, Created says
	}
	return err
}

// orNull puts /dev/null in the place of what is nil.
func orNull(streams ...*os.File) (_ []*os.File, done func(), err error) {
	var null *os.File
	for i, f := range streams {
		if f != nil {
			continue
		}
		if null == nil {
			if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return nil, nil, err
			}
		}
		streams[i] = null
	}
	return streams, func() {
		if null != nil {
			null.Close()
		}
	}, nil
}

func joinAll(dirs []string, pid int) error {
	for _, dir := range dirs {
		if err := join(dir, pid); err != nil {
			return err
		}
	}
	return nil
}

// nsKinds are the names of namespaces in /proc/PID/ns.
var nsKinds = map[string]int{
	"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "uts": unix.CLONE_NEWUTS,
	"ipc": unix.CLONE_NEWIPC, "pid": unix.CLONE_NEWPID, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
}

// ownNS are our namespaces. They do not change.
var ownNS = sync.OnceValue(func() map[string]string {
	own := map[string]string{}
	for name := range nsKinds {
		own[name], _ = os.Readlink("/proc/self/ns/" + name) // the kernel may have no such kind
	}
	return own
})

// notOurs returns the kinds of those namespaces of a process that are not ours.
func notOurs(pid int) (kinds int, err error) {
	for name, kind := range nsKinds {
		link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + name)
		if errors.Is(err, os.ErrNotExist) && ownNS()[name] == "" {
			continue
		}
		if err != nil {
			return 0, err
		}
		if link != ownNS()[name] {
			kinds |= kind
		}
	}
	return kinds, nil
}

// inGroups has the process begin in the groups dirs. s.Cgroup is the caller's to
// close.
func inGroups(s *ns.SpawnSpec, dirs []string) (err error) {
	for _, dir := range dirs {
		tasks := path.Join(dir, "tasks")
		if unix.Access(tasks, unix.F_OK) == nil {
			s.Tasks = append(s.Tasks, tasks)
		} else if s.Cgroup, err = os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil { // the unified hierarchy
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// groupOf opens the group below dir (of v2) in which the process is.
func groupOf(pid int, dir string) (*os.File, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		place, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		// dir is where the hierarchy is mounted and, behind that, how place begins.
		for name := dir; name != "/"; name = path.Dir(name) {
			group := strings.TrimPrefix(dir, name)
			if rest, ok := strings.CutPrefix(place, group+"/"); ok && group != "" {
				return os.Open(path.Join(dir, rest))
			}
		}
	}
	return nil, fmt.Errorf("process 1 is not in a group below %s", dir)
}
