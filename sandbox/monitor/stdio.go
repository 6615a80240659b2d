package monitor

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/logblock"
)

// hangupRetry is how often a terminal that all of its users have closed is
// tried again: one of them may open /dev/console anew.
const hangupRetry = 100 * time.Millisecond

// chunk is the data in a buffer that is laid out for logblock.
func chunk(buf []byte, n int) []byte { return buf[logblock.HeaderSize : logblock.HeaderSize+n] }

// stdio is our side of a process's standard streams.
type stdio struct {
	in       stdin
	tty      *os.File
	out, err *os.File // reading ends of pipes; nil with a terminal
	over     [3]bool  // what has been read to its end, by stream; for who holds the gate shut

	logging sync.Mutex
	writer  *logblock.Writer // nil: no log

	gate    *gate // entered with each chunk that is read; nil for a further process
	readers sync.WaitGroup
	ended   chan struct{} // closed when the process has ended
}

// wiring says which standard streams a process has. What it does not have is
// /dev/null.
type wiring struct {
	terminal              bool // and nothing else
	stdin, stdout, stderr bool
	once                  bool // the input ends with its first writer
}

// newStdio makes what a process gets as its streams. On error nothing stays
// open.
func newStdio(w wiring) (s *stdio, theirs [3]*os.File, err error) {
	s = &stdio{ended: make(chan struct{})}
	s.in.once = w.once
	if w.terminal {
		return s, theirs, nil
	}
	defer func() {
		if err != nil {
			closeAll(theirs[:])
			err = errors.Join(err, s.close())
		}
	}()
	if w.stdin {
		if s.in.f, theirs[0], err = pipe(true); err != nil {
			return s, theirs, err
		}
	}
	if w.stdout {
		if s.out, theirs[1], err = pipe(false); err != nil {
			return s, theirs, err
		}
	}
	if w.stderr {
		s.err, theirs[2], err = pipe(false)
	}
	return s, theirs, err
}

// openLog comes before pump.
func (s *stdio) openLog(l *Launch) (err error) {
	if l.LogDir == "" {
		return nil
	}
	s.writer, err = logblock.NewWriter(l.LogDir, l.logOptions(s))
	return err
}

// pipe makes a pipe whose end for us, the writing or the reading one, waits
// in the poller, while the other blocks as programs expect it.
func pipe(write bool) (ours, theirs *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	our, their := fds[0], fds[1]
	if write {
		our, their = their, our
	}
	if err := unix.SetNonblock(our, true); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("set non-blocking", err), unix.Close(our), unix.Close(their))
	}
	return os.NewFile(uintptr(our), "pipe"), os.NewFile(uintptr(their), "pipe"), nil
}

// console takes over the terminal's master, whose file is then ours.
func (s *stdio) console(master *os.File) error {
	tty, err := Pollable(master)
	if err := errors.Join(err, master.Close()); err != nil {
		return err
	}
	s.tty, s.in.f, s.in.tty = tty, tty, true
	return nil
}

func (s *stdio) resize(ws unix.Winsize) error {
	if s.tty == nil {
		return fmt.Errorf("resize: there is no terminal: %w", errdefs.ErrFailedPrecondition)
	}
	raw, err := s.tty.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	cerr := raw.Control(func(fd uintptr) { serr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &ws) })
	return errors.Join(os.NewSyscallError("resize", serr), cerr)
}

// pump starts to read the container's output into out.
func (s *stdio) pump(out func(stream byte, buf []byte, n int)) {
	for stream, f := range map[byte]*os.File{logblock.Stdout: s.out, logblock.Stderr: s.err} {
		if f == nil && stream == logblock.Stdout {
			f = s.tty
		}
		if f != nil {
			s.readers.Go(func() { s.read(stream, f, out) })
		}
	}
}

// firstRead is how much is read of a stream until there was as much at once:
// most say little, and many nothing at all.
const firstRead = 1 << 10

// read copies one stream to its end, or to what was in it when process 1 had
// ended and drain set a deadline: somebody outside may hold it open for ever.
func (s *stdio) read(stream byte, f *os.File, out func(stream byte, buf []byte, n int)) {
	size := firstRead
	buf := make([]byte, logblock.HeaderSize+size+logblock.TrailerSize)
	in, err := newIntake(s.gate, f)
	if err != nil {
		return // it was closed
	}
	left := -1 // unknown
	for left != 0 {
		n, entered, err := in.read(chunk(buf, size))
		if n > 0 {
			out(stream, buf, n)
		}
		if n == size && size < logblock.MaxData {
			size = logblock.MaxData
			buf = make([]byte, logblock.HeaderSize+size+logblock.TrailerSize)
		}
		if left > 0 {
			left = max(left-n, 0)
		}
		end := false
		switch {
		case err == nil:
			end = n == 0
		case errors.Is(err, syscall.EIO) && s.reopened(): // a terminal that nobody has open
		case errors.Is(err, os.ErrDeadlineExceeded) && left < 0:
			left = buffered(f)
			_ = f.SetReadDeadline(time.Time{}) // there are that many
		default:
			end = true
		}
		if end {
			s.over[stream] = true
		}
		if entered {
			s.gate.leave()
		}
		if end {
			return
		}
	}
}

// buffered is how many bytes can be read without waiting.
func buffered(f *os.File) int {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		return 0
	}
	return n
}

// reopened waits a little while process 1 lives; false: it does not.
func (s *stdio) reopened() bool {
	select {
	case <-s.ended:
		return false
	case <-time.After(hangupRetry):
		return true
	}
}

// log writes a chunk to the log. Output that cannot be logged (a full disk)
// must not stop the container: the log marks the gap itself.
func (s *stdio) log(stream byte, buf []byte, n int) {
	s.logging.Lock()
	defer s.logging.Unlock()
	if s.writer != nil {
		_ = s.writer.Append(stream, time.Now(), buf, n)
	}
}

// limitLog bounds the log anew.
func (s *stdio) limitLog(l LogLimits) {
	s.logging.Lock()
	defer s.logging.Unlock()
	if s.writer != nil {
		s.writer.Limit(l.MaxSize, l.MaxFiles)
	}
}

// drain ends the input of a container that has ended, and waits until all of
// its output has been read.
func (s *stdio) drain() {
	s.in.close()
	close(s.ended)
	past := time.Unix(1, 0)
	for _, f := range []*os.File{s.out, s.err} {
		if f != nil {
			_ = f.SetReadDeadline(past) // it is pollable
		}
	}
	if s.tty != nil {
		// A terminal gets its last output by way of a kernel thread, and then
		// reports a hang-up. Only somebody outside can hold that off.
		_ = s.tty.SetReadDeadline(time.Now().Add(lastOutput))
	}
	s.readers.Wait()
}

// close closes all that stdio has open.
func (s *stdio) close() error {
	s.in.close()
	var errs []error
	for _, f := range []*os.File{s.out, s.err, s.tty} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	return errors.Join(errs...)
}
