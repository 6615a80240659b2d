package stage

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/task"
)

// awaitGo returns true when the program is to be executed, and false when
// nobody is left who could say so.
func (s *setup) awaitGo() bool {
	if !s.Listen {
		kind, _, _, err := receive(s.control)
		return err == nil && kind == frameGo
	}
	// Who made the process has its answer and may go. Others may connect to
	// look (Waits), or be killed before they have said a word.
	s.control.Close()
	s.null.Close()
	if !s.Reaper {
		s.exe.Close()
	}
	for {
		conn, err := task.Accept(s.listen)
		if err != nil {
			return false
		}
		kind, _, _, err := receive(conn)
		if err == nil && kind == frameGo {
			s.listen.Close()
			s.control = conn
			return true
		}
		conn.Close()
	}
}

// preserve lets the program have the descriptors that Fork or Enter was given. The
// stage's own, which are in their places, move out of the way.
func (s *setup) preserve() error {
	if s.Preserve == 0 {
		return nil
	}
	for _, f := range []**os.File{&s.control, &s.exe} {
		if *f == nil {
			continue
		}
		moved, err := task.MoveAbove(*f, s.given+s.Preserve)
		if err != nil {
			return err
		}
		(*f).Close()
		*f = moved
	}
	// Upwards, no one is overwritten that has not been copied yet. What is left
	// of the given ones ends with execve.
	for i := range s.Preserve {
		if err := task.Copy(s.given+i, fdControl+i); err != nil {
			return err
		}
	}
	return nil
}

func (s *setup) keyring() error {
	if s.KeepKeyring {
		return nil
	}
	return newKeyring()
}

func (s *setup) makeCwd() error {
	if !s.MakeCwd {
		return nil
	}
	dir, err := mount.MakeDir(s.root, s.Spec.Process.Cwd, 0o755, 0, 0)
	if err != nil {
		return err
	}
	return dir.Close()
}

// Waits tells whether a created process listens at the other end of path,
// which is true until it executes its program.
func Waits(path string) bool {
	conn, err := task.Dial(path, unix.SOCK_NONBLOCK)
	if err != nil {
		return err == unix.EAGAIN //nolint:errorlint // Dial returns the number: too many look at once
	}
	conn.Close()
	return true
}
