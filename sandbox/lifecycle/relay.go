package lifecycle

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/berth-engine/berth/kernel/task"
)

// relay joins the caller's terminal and a container's.
type relay struct {
	master *os.File
	tty    int // the caller's terminal, or -1
	before *term.State
	output chan struct{} // closed when there is no more
}

// newRelay starts to copy between the standard streams and master, and puts
// the caller's terminal, if there is one, into raw mode until close.
func newRelay(master *os.File) (*relay, error) {
	r := &relay{master: master, tty: -1, output: make(chan struct{})}
	var tty *os.File
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if term.IsTerminal(int(f.Fd())) {
			r.tty, tty = int(f.Fd()), f
			break
		}
	}
	if err := task.RawOutput(master); err != nil {
		return nil, err
	}
	if r.tty >= 0 {
		var err error
		if r.before, err = term.MakeRaw(r.tty); err != nil {
			return nil, err
		}
		if err = task.CookOutput(tty); err != nil {
			r.close()
			return nil, err
		}
	}
	r.resize()
	go func() { _, _ = io.Copy(master, os.Stdin) }() // ends with this process: a read cannot be called off
	go func() {
		defer close(r.output)
		_, _ = io.Copy(os.Stdout, master) // EIO when nobody has the terminal open
	}()
	return r, nil
}

// resize gives the container's terminal the size of the caller's.
func (r *relay) resize() {
	if r == nil || r.tty < 0 {
		return
	}
	size, err := unix.IoctlGetWinsize(r.tty, unix.TIOCGWINSZ)
	if err == nil {
		_ = task.SetWindow(r.master, size.Row, size.Col) // it may have ended
	}
}

// drain waits for the last output. All processes must have ended.
func (r *relay) drain() { <-r.output }

func (r *relay) close() {
	if r.before != nil {
		_ = term.Restore(r.tty, r.before) // the terminal may be gone
	}
}
