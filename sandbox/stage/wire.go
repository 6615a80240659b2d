package stage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/berth-engine/berth/kernel/task"
)

// Kinds of frames on the control socket. A frame is a kind, four bytes of
// length (little-endian) and JSON, or what codec makes. Both ends are the same binary.
const (
	frameConfig   = 'c' // parent → stage: order, in codec's form
	frameConsole  = 't' // stage → parent: the terminal's master comes along
	frameReady    = 'r' // stage → parent: ready
	frameFailed   = 'f' // stage → parent: failure
	frameGo       = 'g' // parent → stage: execute
	frameExecFail = 'x' // stage or reaper → parent: execFailure
)

// maxFrame bounds what is read into memory: 16 MiB is far above what fits on
// a command line.
const maxFrame = 16 << 20

// order is what the init stage is told.
type order struct {
	Config
	NetNS    bool     // descriptor fdNetNS is there
	Join     []joined // namespaces to enter
	CgroupNS bool     // make a cgroup namespace
	NewNet   bool     // the network namespace is new: bring up lo
}

// joined is a namespace at a path; Kinds are CLONE_NEW… bits.
type joined struct {
	Path  string
	Kinds uint64
}

type ready struct{ Warnings []string }

// failure is a set-up step that went wrong.
type failure struct{ Step, Text string }

func (f *failure) Error() string { return f.Step + ": " + f.Text }

type execFailure ExecError

func send(socket *os.File, kind byte, v any, file *os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return sendFrame(socket, kind, body, file)
}

func sendFrame(socket *os.File, kind byte, body []byte, file *os.File) error {
	if len(body) > maxFrame {
		return fmt.Errorf("message of %d bytes", len(body))
	}
	frame := make([]byte, 5, 5+len(body))
	frame[0] = kind
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(body)))
	return task.Send(socket, append(frame, body...), file)
}

// receive returns io.EOF when the other end is closed.
func receive(socket *os.File) (kind byte, body []byte, file *os.File, err error) {
	var head [5]byte
	file, err = task.Receive(socket, head[:])
	if err != nil {
		return 0, nil, nil, err
	}
	size := binary.LittleEndian.Uint32(head[1:])
	if size > maxFrame {
		err = fmt.Errorf("message of %d bytes", size)
	} else {
		body = make([]byte, size)
		_, err = io.ReadFull(socket, body)
	}
	if err != nil && file != nil {
		file.Close()
		file = nil
	}
	return head[0], body, file, err
}
