package stream

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// IO is the standard streams of a command. Tests put buffers here; only real
// files can be terminals.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Std is the process's own streams.
func Std() *IO { return &IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// ErrNotTTY says that a terminal was asked for and input is something else.
var ErrNotTTY = errors.New("the input device is not a TTY")

func tty(v any) (fd int, ok bool) {
	f, isFile := v.(*os.File)
	if !isFile {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// InTTY tells whether input is a terminal.
func (s *IO) InTTY() bool { _, ok := tty(s.In); return ok }

// OutTTY tells whether output is a terminal.
func (s *IO) OutTTY() bool { _, ok := tty(s.Out); return ok }

// ErrTTY tells whether the error stream is a terminal.
func (s *IO) ErrTTY() bool { _, ok := tty(s.Err); return ok }

// Size is the output terminal's rows and columns; zero when it is none.
func (s *IO) Size() (rows, cols uint) { return sizeOf(s.Out) }

func sizeOf(v any) (rows, cols uint) {
	fd, ok := tty(v)
	if !ok {
		return 0, 0
	}
	w, h, err := term.GetSize(fd)
	if err != nil || w < 0 || h < 0 {
		return 0, 0
	}
	return uint(h), uint(w)
}

// CheckTTY refuses a container's terminal when input should go to it and is
// no terminal, which would hang for want of an end of file.
func (s *IO) CheckTTY(attachStdin, containerTTY bool) error {
	if attachStdin && containerTTY && !s.InTTY() {
		return ErrNotTTY
	}
	return nil
}

// Raw puts the input terminal into raw mode; keys, Ctrl-C among them, then go
// to the container. restore may be called from anywhere, more than once.
// Input that is no terminal is left alone.
func (s *IO) Raw() (restore func(), err error) {
	fd, ok := tty(s.In)
	if !ok {
		return func() {}, nil
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { _ = term.Restore(fd, old) }), nil
}

// Password reads a line that is not shown.
func (s *IO) Password() (string, error) {
	fd, ok := tty(s.In)
	if !ok {
		return "", ErrNotTTY
	}
	b, err := term.ReadPassword(fd)
	return string(b), err
}
