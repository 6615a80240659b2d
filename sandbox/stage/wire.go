package stage

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/berth-engine/berth/kernel/task"
)

// Kinds of frames on the control socket. A frame is a kind, four bytes of
// length (little-endian) and what codec makes. Both ends are the same binary.
const (
	frameOrder    = 'o' // parent → stage: start, and with it descriptors
	frameTree     = 'm' // parent → stage: tree, and with it a mount
	frameConsole  = 't' // stage → parent: the terminal's master comes along
	frameDevices  = 'd' // stage → parent: wantedDevices, and with them its network namespace
	frameHooks    = 'h' // stage → parent: wanted; it is time for the runtime's hooks
	frameGoOn     = 'n' // parent → stage: done
	frameAgent    = 'a' // stage → parent: agent, and with it a seccomp filter's listener
	frameReady    = 'r' // stage → parent: ready
	frameFailed   = 'f' // stage → parent: failure
	frameGo       = 'g' // parent → stage: execute
	frameExecFail = 'x' // stage or reaper → parent: execFailure
)

// maxFrame bounds what is read into memory.
const maxFrame = maxOrder

// start comes with these descriptors: the order, the root, three standard
// streams unless there is to be a terminal, and the network namespace and the
// listening socket if the order says that they are given.
type start struct {
	Unshare uint64 // CLONE_NEW… namespaces that the stage was not cloned into
	InGroup bool   // it was cloned into its group of the unified hierarchy
	Trees   int    // so many frameTree follow
	Cgroups bool   // those of cgroups are among them, or there are none
}

const (
	startFiles = 7
	// maxOrder is far above what fits on a command line.
	maxOrder = 16 << 20
)

func (s *start) describe(c *codec) {
	num(c, &s.Unshare)
	c.flag(&s.InGroup)
	num(c, &s.Trees)
	c.flag(&s.Cgroups)
}

// order is what the init stage is told.
type order struct {
	Config
	NetNS    bool     // descriptor fdNetNS is there
	Join     []joined // namespaces to enter
	MountNS  string   // the mount namespace to enter instead of a new one
	Opened   bool     // the parent has joined all and opens the trees of mounts
	CgroupNS bool     // make a cgroup namespace
	NewNet   bool     // the network namespace is new: bring up lo
	Notify   bool     // the filter has an agent answer calls
	// LimitsFirst: resource limits are set before the filter is loaded, and not as
	// the last thing before the program is executed.
	LimitsFirst bool
}

// joined is a namespace at a path; Kinds are CLONE_NEW… bits.
type joined struct {
	Path  string
	Kinds uint64
}

func describeJoined(c *codec, j *joined) { c.str(&j.Path); num(c, &j.Kinds) }

type ready struct{ Warnings []string }

func (r *ready) describe(c *codec) { list(c, &r.Warnings, (*codec).str) }

// failure is a set-up step that went wrong.
type failure struct{ Step, Text string }

func (f *failure) Error() string { return f.Step + ": " + f.Text }

func (f *failure) describe(c *codec) { c.str(&f.Step); c.str(&f.Text) }

func (e *ExecError) describe(c *codec) { c.str(&e.Path); num(c, &e.Err); c.str(&e.Text) }

func nothing(*codec) {}

// frame packs a message.
func frame(kind byte, describe func(*codec)) []byte {
	c := codec{b: make([]byte, 5, 128)}
	describe(&c)
	c.b[0] = kind
	binary.LittleEndian.PutUint32(c.b[1:], uint32(len(c.b)-5))
	return c.b
}

func send(socket *os.File, kind byte, describe func(*codec), file *os.File) error {
	return task.Send(socket, frame(kind, describe), file)
}

// receive returns io.EOF when the other end is closed.
func receive(socket *os.File) (kind byte, body []byte, file *os.File, err error) {
	var head [5]byte
	file, err = task.Receive(socket, head[:])
	if err != nil {
		return 0, nil, nil, err
	}
	body, err = receiveBody(socket, head)
	if err != nil && file != nil {
		file.Close()
		file = nil
	}
	return head[0], body, file, err
}

func receiveBody(socket *os.File, head [5]byte) ([]byte, error) {
	size := binary.LittleEndian.Uint32(head[1:])
	if size > maxFrame {
		return nil, fmt.Errorf("message of %d bytes", size)
	}
	if size == 0 {
		return nil, nil
	}
	body := make([]byte, size)
	_, err := io.ReadFull(socket, body)
	return body, err
}
