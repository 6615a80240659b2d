package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/berth-engine/berth/sandbox/lifecycle"
)

// making are the flags of create and run.
type making struct {
	o        lifecycle.CreateOptions
	preserve int
}

func (m *making) flags(f *flag.FlagSet) {
	stringFlag(f, &m.o.Bundle, "bundle", "b", "", "`directory` of the bundle (default: the current one)")
	f.StringVar(&m.o.ConsoleSocket, "console-socket", "", "`path` of a unix socket that gets the terminal's master")
	f.StringVar(&m.o.PidfdSocket, "pidfd-socket", "", "`path` of a unix socket that gets a pidfd of process 1")
	f.StringVar(&m.o.PidFile, "pid-file", "", "`file` to write the number of process 1 to")
	f.BoolVar(&m.o.NoPivot, "no-pivot", false, "do without pivot_root, for hosts that run from their initial RAM disk")
	f.BoolVar(&m.o.KeepKeyring, "no-new-keyring", false, "leave process 1 the session keyring of the caller")
	f.IntVar(&m.preserve, "preserve-fds", 0, "pass `n` descriptors on, from 3")
}

// options completes the flags by what comes from the caller's process.
func (m *making) options() (*lifecycle.CreateOptions, error) {
	listen := listenFDs()
	if listen > 0 {
		m.o.Env = append(m.o.Env, "LISTEN_FDS="+strconv.Itoa(listen), "LISTEN_PID=1")
	}
	var err error
	if m.o.Preserve, err = preserved(listen + m.preserve); err != nil {
		return nil, err
	}
	if m.o.Bundle == "" {
		m.o.Bundle = "."
	}
	m.o.Program, err = stageProgram()
	return &m.o, err
}

// preserved are n descriptors of the caller, from 3 on.
func preserved(n int) ([]*os.File, error) {
	var files []*os.File
	for fd := 3; fd < 3+n; fd++ {
		f := os.NewFile(uintptr(fd), "preserved")
		if _, err := f.Stat(); err != nil {
			return nil, fmt.Errorf("descriptor %d is to be preserved: %w", fd, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// listenFDs is how many sockets systemd has opened for the service that we are
// (sd_listen_fds(3)).
func listenFDs() int {
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// stageProgram finds berth-sandbox, beside this program or where make install
// puts it. The environment has no say.
func stageProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, path := range []string{
		filepath.Join(dir, "berth-sandbox"),
		filepath.Join(dir, "../libexec/berth/berth-sandbox"),
	} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("berth-sandbox is neither beside %s nor in ../libexec/berth", self)
}

func createVerb() *verb {
	m := &making{}
	return &verb{
		name: "create", args: "container-id", min: 1, max: 1, flags: m.flags,
		about: "make a container whose program waits for start",
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			o, err := m.options()
			if err != nil {
				return 1, err
			}
			return 0, p.root.Create(ctx, args[0], o)
		},
	}
}
