package stage

import (
	"bytes"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
)

// command is what the reaper runs.
type command struct {
	Path      string
	Args, Env []string
	Terminal  bool
}

func (c *command) describe(k *codec) {
	k.str(&c.Path)
	list(k, &c.Args, (*codec).str)
	list(k, &c.Env, (*codec).str)
	k.flag(&c.Terminal)
}

// exec executes the program; it returns, with the status to exit with, only
// if that failed.
func (s *setup) exec() int {
	p := s.Spec.Process
	path, failed := lookPath(p.Args[0], p.Env)
	if failed == nil {
		if err := s.execPath(path); !errors.As(err, &failed) {
			// Not the program's fault.
			_ = send(s.control, frameFailed, (&failure{"start", err.Error()}).describe, nil)
			return 1
		}
	}
	_ = send(s.control, frameExecFail, failed.describe, nil)
	return failed.ExitCode()
}

// execPath executes the program at path, or what runs it. It returns only if that
// failed; an *ExecError is the program's.
func (s *setup) execPath(path string) (err error) {
	p := s.Spec.Process
	var command *os.File
	if s.Reaper {
		if command, err = s.commandFile(path); err != nil {
			return err
		}
	}
	if p.NoNewPrivileges && !s.Notify {
		if err := s.filter(); err != nil {
			return err
		}
	}
	if err := s.startHooks(); err != nil {
		return err
	}
	if s.Reaper {
		if err := s.passCommand(command); err != nil {
			return err
		}
	}
	// After all that takes a descriptor: the limit may leave none.
	if !s.LimitsFirst {
		if err := s.setLimits(); err != nil {
			return err
		}
	}
	if s.Reaper {
		return task.Exec(s.exe, append([]string{ReaperName, "--"}, p.Args...), reaperEnv(p.Env))
	}
	return execError(path, syscall.Exec(path, p.Args, p.Env))
}

// commandFile is the command for the reaper. The container's environment is
// not the reaper's: GODEBUG and the like would steer it.
func (s *setup) commandFile(path string) (*os.File, error) {
	p := s.Spec.Process
	c := command{Path: path, Args: p.Args, Env: p.Env, Terminal: p.Terminal}
	return ns.DataMemfd("command", bytes.NewReader(encode(c.describe)))
}

// passCommand leaves the command and the control socket to the reaper.
func (s *setup) passCommand(f *os.File) error {
	if err := task.Inherit(f, fdCommand); err != nil {
		return err
	}
	return task.Inherit(s.control, fdControl)
}

func execError(path string, err error) *ExecError {
	e := &ExecError{Path: path, Err: syscall.EACCES, Text: "exec " + path + ": " + err.Error()}
	errors.As(err, &e.Err)
	return e
}

// lookPath finds a program as the user who will run it, with the PATH of the
// container's environment. The texts are those of os/exec, which other
// runtimes pass on and tools match.
func lookPath(name string, env []string) (string, *ExecError) {
	fail := func(errno syscall.Errno, text string) (string, *ExecError) {
		return "", &ExecError{Path: name, Err: errno, Text: "exec: " + strconv.Quote(name) + ": " + text}
	}
	if strings.Contains(name, "/") {
		errno, text := executable(name)
		if errno != 0 {
			return fail(errno, text)
		}
		return name, nil
	}
	paths := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			paths = v
		}
	}
	for dir := range strings.SplitSeq(paths, ":") {
		if paths == "" || name == "" {
			break
		}
		file := path.Join(dir, name)
		if errno, _ := executable(file); errno != 0 {
			continue
		}
		if !path.IsAbs(file) {
			return fail(syscall.EACCES, "cannot run executable found relative to current directory")
		}
		return file, nil
	}
	return fail(syscall.ENOENT, "executable file not found in $PATH")
}

// executable returns zero, or why not.
func executable(file string) (syscall.Errno, string) {
	info, err := os.Stat(file)
	if err != nil {
		errno := syscall.EACCES
		errors.As(err, &errno)
		return errno, err.Error()
	}
	if info.IsDir() {
		return syscall.EISDIR, "is a directory"
	}
	err = unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // a filter: go by the bits, as os/exec does
		err = nil
		if info.Mode()&0o111 == 0 {
			err = unix.EACCES
		}
	}
	if err != nil {
		errno := syscall.EACCES
		errors.As(err, &errno)
		return errno, errno.Error()
	}
	return 0, ""
}
