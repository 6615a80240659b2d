package monitor

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/stage"
)

// Protocol versions that this program speaks.
const (
	ProtocolMin = 1
	ProtocolMax = 2
)

// Requests. Their bodies and replies are the types below.
const (
	OpHello  = "hello"  // Hello → Welcome; the first request of a connection
	OpLaunch = "launch" // Launch and descriptors → Created
	OpStart  = "start"  // → Started
	OpStatus = "status" // → Status
	OpWait   = "wait"   // → Exited, when it has
	OpSignal = "signal" // Signal
	OpResize = "resize" // Resize
	OpAttach = "attach" // Attach; after the reply the connection carries streams
	OpRemove = "remove" // Remove, or nothing → Removed; the last request of this container

	// Since version 2.
	OpExec       = "exec"        // Exec and descriptors → Executed
	OpExecWait   = "exec_wait"   // ExecRef → ExecExit, when it has ended
	OpExecSignal = "exec_signal" // ExecSignal
	OpExecResize = "exec_resize" // ExecResize
	OpExecRemove = "exec_remove" // ExecRef
	OpExecList   = "exec_list"   // → ExecList

	// Not known to the first monitors of version 2.
	OpLogLimits = "log_limits" // LogLimits
	OpFork      = "fork"       // Fork and descriptors → Forked
)

// A Message is one frame: a request has Op, its reply the same Seq and no Op.
type Message struct {
	Seq   uint64 `json:"seq"`
	Op    string `json:"op,omitempty"`
	Body  []byte `json:"body,omitempty"` // any JSON
	Error *Error `json:"error,omitempty"`
}

// Hello opens a connection. Instance, if set, is the launch that is expected.
type Hello struct {
	Min      int    `json:"min"`
	Max      int    `json:"max"`
	Instance string `json:"instance,omitempty"`
}

// Welcome answers with the protocol version that both speak, and who answers.
type Welcome struct {
	Protocol int    `json:"protocol"`
	Pid      int    `json:"pid"` // the monitor's
	ID       string `json:"id,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Names of descriptors that may come with Launch, in Launch.Files' order.
const (
	FileOrder  = "order" // stage.Prepare's, which is passed on
	FileRootfs = "rootfs"
	FileNetNS  = "netns"
	FileCgroup = "cgroup"
	// FileMount with a number: the source of that mount of the order.
	FileMount = "mount:"
)

// Launch makes an idle monitor the monitor of one container.
type Launch struct {
	ID       string     `json:"id"`
	Instance string     `json:"instance"` // names this launch among all of the same id
	Dir      string     `json:"dir"`      // of monitor.sock
	StateDir string     `json:"state_dir"`
	Durable  bool       `json:"durable,omitempty"`
	Plan     stage.Plan `json:"plan"`
	Files    []string   `json:"files"`

	LogDir      string `json:"log_dir,omitempty"`
	LogMaxSize  int64  `json:"log_max_size,omitempty"`
	LogMaxFiles int    `json:"log_max_files,omitempty"`

	OpenStdin bool `json:"open_stdin,omitempty"`
	StdinOnce bool `json:"stdin_once,omitempty"`

	// Runtime is the program of another OCI runtime, and its first arguments,
	// which makes the container from the config in Dir. There is no order then.
	Runtime []string `json:"runtime,omitempty"`

	OOMFile    string   `json:"oom_file,omitempty"`    // holds a line "oom_kill N"
	KillFile   string   `json:"kill_file,omitempty"`   // cgroup.kill of the container's group
	CgroupDirs []string `json:"cgroup_dirs,omitempty"` // the group's directories

	// Calm is for how many milliseconds nothing has to happen before the monitor
	// rests, if it has been given what it rests by.
	Calm int64 `json:"calm,omitempty"`
}

// Created says that process 1 waits for start.
type Created struct {
	Pid       int      `json:"pid"`
	StartTime uint64   `json:"start_time"` // field 22 of /proc/PID/stat
	Warnings  []string `json:"warnings,omitempty"`
}

// Started says when process 1 executed its program.
type Started struct {
	At time.Time `json:"at"`
}

// State of a monitor's container. It only ever grows.
type State string

// The states.
const (
	StateIdle    State = "idle"
	StateCreated State = "created"
	StateRunning State = "running"
	StateExited  State = "exited"
)

// Status is all that a daemon needs to take over.
type Status struct {
	State     State     `json:"state"`
	ID        string    `json:"id"`
	Instance  string    `json:"instance"`
	Pid       int       `json:"pid,omitempty"`
	StartTime uint64    `json:"start_time,omitempty"`
	StartedAt time.Time `json:"started_at"`
	Exit      *Exit     `json:"exit,omitempty"`
}

// Exited answers wait. Unrecorded says why exit.json could not be written; it
// is empty when the record is in place.
type Exited struct {
	Exit       Exit   `json:"exit"`
	Unrecorded string `json:"unrecorded,omitempty"`
}

// Remove gives up a container that has ended. Keep: the monitor may stay, for
// another container.
type Remove struct {
	Keep bool `json:"keep,omitempty"`
}

// Removed answers remove. Warnings are of poststop hooks. Kept: the monitor has
// nothing of the container any more, and its connection begins anew, with hello;
// else it ends.
type Removed struct {
	Warnings []string `json:"warnings,omitempty"`
	Kept     bool     `json:"kept,omitempty"`
}

// Signal is sent to process 1.
type Signal struct {
	Signal int `json:"signal"`
}

// LogLimits bound the log from the next frame on, as in Launch.
type LogLimits struct {
	MaxSize  int64 `json:"max_size,omitempty"`
	MaxFiles int   `json:"max_files,omitempty"`
}

// Resize sets the size of the terminal.
type Resize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Attach chooses the streams of an attached connection.
type Attach struct {
	Stdin  bool `json:"stdin,omitempty"`
	Stdout bool `json:"stdout,omitempty"`
	Stderr bool `json:"stderr,omitempty"`
}

// Names of descriptors that may come with Exec, besides FileOrder.
const (
	FileExe    = "exe"    // the sealed memfd of the stage that understands the order
	FileStream = "stream" // one end of a socket pair, which carries the streams
	// FileProcess is the process as JSON, instead of an order, if another OCI
	// runtime made the container.
	FileProcess = "process"
)

// Exec makes a further process in the container and executes its program.
type Exec struct {
	ID    string   `json:"id"` // chosen by the client
	Files []string `json:"files"`
	// Terminal, as in the order.
	Terminal bool `json:"terminal,omitempty"`
	// CPUs is where the process begins (stage.Entry.CPUs).
	CPUs string `json:"cpus,omitempty"`
	// Streams that go over the stream descriptor. The others are /dev/null;
	// a terminal, of which nobody reads, is read all the same.
	Stdin  bool `json:"stdin,omitempty"`
	Stdout bool `json:"stdout,omitempty"`
	Stderr bool `json:"stderr,omitempty"`
	// Note is the client's, for a later one: ExecList returns it.
	Note string `json:"note,omitempty"`
}

// Executed says that the program runs.
type Executed struct {
	Pid       int       `json:"pid"`
	StartTime uint64    `json:"start_time"` // field 22 of /proc/PID/stat
	StartedAt time.Time `json:"started_at"`
	Warnings  []string  `json:"warnings,omitempty"`
}

// Names of the descriptors that come with Fork.
const (
	FileProgram = "program" // stage.Forker's
	FileControl = "control" // one end of a socket pair of type SOCK_SEQPACKET
)

// Fork makes a process that runs one program again and again (stage.Forker), and
// answers to who has the other end of FileControl (ns.Script.Serve), until that
// is closed. The error is not_implemented where each process has to be made by
// Exec.
type Fork struct {
	Files       []string `json:"files"`
	OOMScoreAdj string   `json:"oom_score_adj,omitempty"` // stage.Forker's
	AppArmor    string   `json:"apparmor,omitempty"`
}

// Forked says which process that is.
type Forked struct {
	Pid       int    `json:"pid"`
	StartTime uint64 `json:"start_time"` // field 22 of /proc/PID/stat
}

// ExecRef names a process that Exec made.
type ExecRef struct {
	ID string `json:"id"`
}

// ExecExit says how such a process ended.
type ExecExit struct {
	Code       int       `json:"code"` // the exit status, or 128 + Signal
	Signal     int       `json:"signal,omitempty"`
	FinishedAt time.Time `json:"finished_at"`
}

// ExecSignal is sent to one.
type ExecSignal struct {
	ID     string `json:"id"`
	Signal int    `json:"signal"`
}

// ExecResize sets the size of its terminal.
type ExecResize struct {
	ID   string `json:"id"`
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// ExecList lists the processes that run or were not removed.
type ExecList struct {
	Execs []ExecStatus `json:"execs"`
}

// ExecStatus is all that a daemon needs to take one over.
type ExecStatus struct {
	ID        string    `json:"id"`
	Pid       int       `json:"pid"`
	StartTime uint64    `json:"start_time"`
	StartedAt time.Time `json:"started_at"`
	Note      string    `json:"note,omitempty"`
	Exit      *ExecExit `json:"exit,omitempty"`
}

// Error is a failure as it travels.
type Error struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	// ExitCode is set in kind "exec": 126 or 127.
	ExitCode int `json:"exit_code,omitempty"`
}

// kindExec: the program could not be executed.
const kindExec = "exec"

var kinds = []struct {
	name string
	err  error
	is   func(error) bool
}{
	{"not_found", errdefs.ErrNotFound, errdefs.IsNotFound},
	{"invalid_argument", errdefs.ErrInvalidArgument, errdefs.IsInvalidArgument},
	{"conflict", errdefs.ErrConflict, errdefs.IsConflict},
	{"failed_precondition", errdefs.ErrFailedPrecondition, errdefs.IsFailedPrecondition},
	{"unavailable", errdefs.ErrUnavailable, errdefs.IsUnavailable},
	{"not_implemented", errdefs.ErrNotImplemented, errdefs.IsNotImplemented},
}

func (e *Error) Error() string { return e.Text }

// Unwrap gives the error's kind in the words of errdefs.
func (e *Error) Unwrap() error {
	for _, k := range kinds {
		if k.name == e.Kind {
			return k.err
		}
	}
	return errdefs.ErrInternal
}

// Exec tells whether the error is that the program could not be executed.
func (e *Error) Exec() bool { return e.Kind == kindExec }

// travelling turns any error into its form for the wire.
func travelling(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	for _, k := range kinds {
		if k.is(err) {
			return &Error{Kind: k.name, Text: err.Error()}
		}
	}
	return &Error{Kind: "internal", Text: err.Error()}
}

// negotiate chooses the newest version that both sides speak.
func negotiate(h Hello) (int, error) {
	v := min(h.Max, ProtocolMax)
	if v < max(h.Min, ProtocolMin) {
		return 0, fmt.Errorf("monitor speaks protocol %d to %d, not %d to %d: %w",
			ProtocolMin, ProtocolMax, h.Min, h.Max, errdefs.ErrNotImplemented)
	}
	return v, nil
}
