package sandbox

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// forkOutput is the output of one run of a Forker.
type forkOutput struct {
	fd    int
	limit int
	text  []byte
	f     *os.File      // instead of fd, since drain
	done  chan struct{} // closed when the reader that drain starts is through
}

// drain reads what is said from now on, and drops what is too much.
func (o *forkOutput) drain() error {
	if err := unix.SetNonblock(o.fd, true); err != nil {
		return os.NewSyscallError("set non-blocking", err)
	}
	o.f, o.fd, o.done = os.NewFile(uintptr(o.fd), "output"), -1, make(chan struct{})
	go func() {
		defer close(o.done)
		o.text = o.read(o.f)
	}()
	return nil
}

// rest returns the text, when the program has ended: others may hold the pipe
// open, but what is in it is all that counts.
func (o *forkOutput) rest() string {
	if o.f == nil {
		if err := unix.SetNonblock(o.fd, true); err != nil {
			return ""
		}
		o.text = o.read(rawFile(o.fd))
		return string(o.text)
	}
	// A reader with a deadline in the past takes what is there no more: a moment
	// is enough for what is in a pipe.
	_ = o.f.SetReadDeadline(time.Now().Add(lastOutput))
	<-o.done
	return string(o.text)
}

// lastOutput is how long the last output is read of a run whose pipe others hold
// open.
const lastOutput = 20 * time.Millisecond

// read takes what comes until the end, or until there is nothing.
func (o *forkOutput) read(r io.Reader) []byte {
	var text []byte
	buf := make([]byte, min(o.limit, 4<<10))
	for {
		n, err := r.Read(buf)
		text = append(text, buf[:min(n, o.limit-len(text))]...)
		if n == 0 || err != nil {
			return text
		}
	}
}

func (o *forkOutput) close() error {
	if o.f != nil {
		return o.f.Close()
	}
	return unix.Close(o.fd)
}

// rawFile reads a descriptor that does not wait.
type rawFile int

func (f rawFile) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(f), p)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}
