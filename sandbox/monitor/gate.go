package monitor

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// A gate is what keeps a monitor awake (rest.go): whoever takes something out of
// the kernel that it would not give again, a message, output, the end of a process,
// enters the gate before and leaves it when all is done that follows from that. A nil
// gate is always open.
type gate struct {
	mu   sync.Mutex
	busy int       // how many have entered
	last time.Time // when the last one left
}

func (g *gate) enter() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.busy++
	g.mu.Unlock()
}

func (g *gate) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.busy--
	g.last = time.Now()
	g.mu.Unlock()
}

// take waits for take to do something, which tells whether it did; then the gate is
// entered, unless there is an error.
func (g *gate) take(raw syscall.RawConn, take func(fd uintptr) (did bool)) error {
	return raw.Read(func(fd uintptr) bool {
		g.enter()
		did := take(fd)
		if !did {
			g.leave()
		}
		return did
	})
}

// An intake reads a stream by way of a gate, and makes no garbage.
type intake struct {
	gate *gate
	raw  syscall.RawConn
	take func(fd uintptr) bool // try

	buf []byte
	n   int
	err error
}

func newIntake(g *gate, f *os.File) (*intake, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	i := &intake{gate: g, raw: raw}
	i.take = i.try
	return i, nil
}

func (i *intake) try(fd uintptr) bool {
	i.gate.enter()
	i.n, i.err = syscall.Read(int(fd), i.buf)
	if again(i.err) {
		i.gate.leave()
		return false
	}
	i.n = max(i.n, 0)
	return true
}

// read waits for something to read, of which nothing is the end; then the gate is
// entered, unless a deadline or the file's closing has ended the waiting.
func (i *intake) read(b []byte) (n int, entered bool, err error) {
	i.buf = b
	if err := i.raw.Read(i.take); err != nil {
		return 0, false, err
	}
	return i.n, true, i.err
}
