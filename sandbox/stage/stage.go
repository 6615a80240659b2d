package stage

import (
	"os"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config says how process 1 is made. It travels as JSON from the monitor to
// the init stage.
type Config struct {
	Spec *specs.Spec
	// Seccomp is a classic BPF program (an array of struct sock_filter). Empty:
	// no filter. The flags to load it with are taken from Spec.
	Seccomp []byte
	// CgroupDirs are the directories whose cgroup.procs the process is written
	// to before it does anything (v1, hybrid). They are also what a mount of
	// type cgroup shows.
	CgroupDirs []string
	// Reaper keeps the stage as process 1 (--init): it runs the command as a
	// child, forwards signals to it and reaps.
	Reaper bool
}

// Files are the descriptors that Spawn uses. It closes none of them.
type Files struct {
	Exe    *os.File // sealed memfd of berth-sandbox
	Rootfs *os.File // detached mount; becomes the root, and the descriptor stays usable
	NetNS  *os.File // nil: what Spec.Linux.Namespaces says
	Cgroup *os.File // v2: directory for CLONE_INTO_CGROUP; nil: none

	// Standard streams of the process; nil: /dev/null. Ignored with
	// Spec.Process.Terminal.
	Stdin, Stdout, Stderr *os.File
}

// A Process is process 1 of a container. The caller is its parent: it waits
// for it and reaps it.
type Process struct {
	Pid   int
	PidFD *os.File
	// Console is the terminal's master, only with Spec.Process.Terminal.
	Console *os.File
	// Warnings are deviations that Spec's author should hear about, such as a
	// limit that could be raised only in part.
	Warnings []string

	control *os.File
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
