package stage

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config says how process 1 is made.
type Config struct {
	Spec *specs.Spec
	// Seccomp is a classic BPF program (an array of struct sock_filter). Empty:
	// no filter. The flags to load it with are taken from Spec.
	Seccomp []byte
	// CgroupDirs are the group's directories in all hierarchies: what the
	// process joins, and what a mount of type cgroup shows.
	CgroupDirs []string
	// Reaper keeps the stage as process 1 (--init): it runs the command as a
	// child, forwards signals to it and reaps.
	Reaper bool
	// State is what hooks and the seccomp agent get; needed if Spec asks for
	// either. Status and Pid are set where it is used.
	State *specs.State
	// Listen: whoever made the process may be gone when it is to be started.
	// Once created, it takes its word from whoever connects to Files.Listen
	// (StartOver). A program that cannot be found already fails Created.
	Listen bool
	// Preserve is how many descriptors, those given to Fork, the program finds
	// from 3 on.
	Preserve int
	// MakeCwd makes a working directory that is missing.
	MakeCwd bool
	// NoPivot leaves the host's mounts below the root, for hosts that run from
	// their initial RAM disk, where pivot_root is impossible.
	NoPivot bool
	// HostMounts: a Spec without a mount namespace, or with the path of the
	// caller's own, is not refused. The root file system is mounted at the
	// absolute path Spec.Root.Path for all who are in that namespace, and all
	// else in it. Plan.HostMounts tells; the caller then takes it off again
	// (mount.Remove) when the container is gone, and after any error.
	HostMounts bool
	// LastingRoot: the root file system serves more starts than this one. The
	// place that is made for a tmpfs gets the mode of that, so that the next start,
	// which finds it, gives the tmpfs the same.
	LastingRoot bool
	// KeepKeyring leaves the process the session keyring of its maker.
	KeepKeyring bool
}

// A Plan is what the one who forks the init stage has to know of a Config.
// The rest is in the order, which it passes on as it is.
type Plan struct {
	// Clone are the namespaces to make: CLONE_NEW… flags.
	Clone uint64 `json:"clone"`
	// PidNS is the path of the pid namespace to fork into; empty: Clone says.
	PidNS string `json:"pid_ns,omitempty"`
	// Outside is what Fork and Begin do because of a user or time namespace.
	Outside string `json:"outside,omitempty"`
	// NetNS is Files.NetNS, which Fork already needs for a user namespace.
	NetNS *os.File `json:"-"`
	// Groups are directories to whose cgroup.procs the process is written
	// before it does anything, where it may not do that itself.
	Groups []string `json:"groups,omitempty"`
	// Terminal: the stage makes a terminal and gets no streams.
	Terminal bool `json:"terminal,omitempty"`
	// HostMounts: Config.HostMounts has come to pass.
	HostMounts bool `json:"host_mounts,omitempty"`
	// Asks are the kinds of messages by which the stage may have its parent do
	// something: run hooks, move network devices, call a seccomp agent.
	Asks string `json:"asks,omitempty"`
}

// OwnPids tells whether the container's processes end with process 1.
func (p *Plan) OwnPids() bool { return p.Clone&unix.CLONE_NEWPID != 0 }

// Files are the descriptors that Begin sends. It closes none of them.
type Files struct {
	Order  *os.File // what Prepare made, in a file (ns.DataMemfd)
	Rootfs *os.File // detached mount; becomes the root, and the descriptor stays usable
	NetNS  *os.File // nil: what the order says
	Listen *os.File // listening socket, with Config.Listen

	// Sources are detached mounts, which the entries of Spec.Mounts of these
	// indices take instead of opening their source. The entries must be bind
	// mounts; their options are applied.
	Sources map[int]*os.File

	// Standard streams of the process; nil: /dev/null. Ignored with
	// Plan.Terminal.
	Stdin, Stdout, Stderr *os.File
}

// A Process is process 1 of a container to be. The caller is its parent: it
// waits for it and reaps it.
type Process struct {
	Pid       int
	PidFD     *os.File
	StartTime uint64 // ns.ProcessStartTime
	// Console is the terminal's master, only with Plan.Terminal.
	Console *os.File
	// Warnings are deviations that Spec's author should hear about, such as a
	// limit that could be raised only in part.
	Warnings []string
	// Hooks are those of the runtime's side, when there are any and Created has
	// returned: the caller runs poststart and poststop (RunHooks).
	Hooks *specs.Hooks

	exe   *os.File    // by way of which hooks are executed
	state specs.State // what they get
	asks  string      // what is left of Plan.Asks
	// container is process 1 of which this is a further process; 0: none.
	container int
	running   bool // there is nothing to wait for (direct)
	control   *os.File
	cloned    uint64   // the namespaces that it was cloned into
	inGroup   bool     // and into its group
	outside   *outside // with a user or time namespace
	user      *os.File // the user namespace, until Begin has opened all
}

// An ExecError says that the program could not be looked up or executed.
type ExecError struct {
	Path string        // as in Spec.Process.Args[0], or where it was found
	Err  syscall.Errno // ENOENT if there is no such program
	Text string        // in the words of runc
}

func (e *ExecError) Error() string { return e.Text }

func (e *ExecError) Unwrap() error { return e.Err }

// ExitCode is 127 for a program that does not exist and 126 for one that
// cannot be executed, as shells say it.
func (e *ExecError) ExitCode() int {
	if e.Err == syscall.ENOENT {
		return 127
	}
	return 126
}

// Reported tells whether err is what a stage said of itself, so that it was
// alive.
func Reported(err error) bool {
	f, e := (*failure)(nil), (*ExecError)(nil)
	return errors.As(err, &f) || errors.As(err, &e)
}

// A NotImplementedError says that a Spec asks for something that this package
// does not do.
type NotImplementedError struct{ What string }

func (e *NotImplementedError) Error() string { return e.What + ": not implemented" }

// NotImplemented gives the error its kind for package errdefs, which is not
// imported here.
func (e *NotImplementedError) NotImplemented() {}

// An InvalidSpecError says that a Spec contradicts itself or endangers the
// host.
type InvalidSpecError struct{ Text string }

func (e *InvalidSpecError) Error() string { return e.Text }

// InvalidParameter gives the error its kind for package errdefs.
func (e *InvalidSpecError) InvalidParameter() {}
