package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/kernel/ns"
)

// Files in the container's directory, which is also the bundle.
const (
	ConfigFile = "config.json"
	RootDir    = "rootfs"  // where the root file system is
	stateDir   = "runtime" // the runtime's --root
)

// patience bounds a command of the runtime; hooks of the container may take
// their time.
const patience = 2 * time.Minute

// A Runtime runs one container by another runtime.
type Runtime struct {
	Exe     *os.File // the sealed memfd of this program
	Command []string // the runtime's program, and its first arguments
	ID      string
	Dir     string
	// Group, when set, is a directory of the unified hierarchy that the
	// runtime may know nothing of, on hosts which have both: the processes that
	// it makes are put into it. What a further process forks before that stays
	// outside, and cannot be frozen.
	Group string

	// While a command runs, what it leaves behind is not known yet.
	running sync.RWMutex
	mu      sync.Mutex
	known   map[int]bool // children that somebody waits for
	number  int          // of the last command
}

// A Process is one that the runtime has made. It is the caller's child, who
// waits for it, and then calls Forget.
type Process struct {
	Pid       int
	PidFD     *os.File
	StartTime uint64
	Console   *os.File // the terminal's master, if it was to have one
}

// Close lets go of the handles.
func (p *Process) Close() error {
	err := p.PidFD.Close()
	if p.Console != nil {
		err = errors.Join(err, p.Console.Close())
	}
	return err
}

// A Mount is a detached mount, and where it is to be while the container is
// made: below Runtime.Dir.
type Mount struct {
	File *os.File
	At   string
}

// Create makes the container of Dir's config up to the OCI state "created".
// streams are the standard streams of process 1; nil ones are /dev/null.
func (r *Runtime) Create(streams [3]*os.File, terminal bool, mounts []Mount) (*Process, error) {
	if err := os.Mkdir(filepath.Join(r.Dir, stateDir), 0o700); err != nil {
		return nil, err
	}
	p, err := r.make(request{
		args: []string{"create", "--bundle", r.Dir}, file: "create", streams: streams, terminal: terminal, mounts: mounts,
	})
	if err != nil {
		_ = r.Delete() // it may know of nothing; the daemon kills the group, and removes the directory
		return nil, err
	}
	return p, nil
}

// Start executes the program.
func (r *Runtime) Start() error { return r.command([]string{"start"}) }

// Kill sends a signal to process 1.
func (r *Runtime) Kill(sig syscall.Signal) error {
	return r.command([]string{"kill"}, strconv.Itoa(int(sig)))
}

// Delete removes what the runtime keeps of the container, which is killed if it
// lives. Its poststop hooks run.
func (r *Runtime) Delete() error { return r.command([]string{"delete", "--force"}) }

// Exec runs a further process; process is its JSON (the OCI config's "process").
func (r *Runtime) Exec(process []byte, streams [3]*os.File, terminal bool) (*Process, error) {
	name := r.name("exec")
	file := filepath.Join(r.Dir, name+".json")
	if err := os.WriteFile(file, process, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(file)
	return r.make(request{
		args: []string{"exec", "--detach", "--process", file}, file: name, streams: streams, terminal: terminal,
	})
}

// make runs a command that makes a process, and takes that over.
func (r *Runtime) make(q request) (_ *Process, err error) {
	pidFile := filepath.Join(r.Dir, q.file+".pid")
	defer os.Remove(pidFile)
	q.args = append(q.args, "--pid-file", pidFile)
	var console *console
	if q.terminal {
		if console, err = listen(r.Dir, q.file+".tty"); err != nil {
			return nil, err
		}
		defer console.close()
		q.args = append(q.args, "--console-socket", console.name)
	}
	r.running.RLock()
	defer r.Reap()
	defer r.running.RUnlock()
	if err := r.run(&q); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, fmt.Errorf("%s did not say which process it made: %w", q.args[0], err)
	}
	p := new(Process)
	if p.Pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return nil, fmt.Errorf("%s: process number %q", q.args[0], text)
	}
	if p.PidFD, err = ns.PidfdOpen(p.Pid); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.known == nil {
		r.known = map[int]bool{}
	}
	r.known[p.Pid] = true
	r.mu.Unlock()
	p.StartTime, err = ns.ProcessStartTime(p.Pid)
	if err == nil && r.Group != "" {
		err = join(r.Group, p.Pid)
	}
	if err == nil && console != nil {
		p.Console, err = console.receive()
	}
	if err != nil {
		return nil, errors.Join(err, r.abandon(p))
	}
	return p, nil
}

// join puts a process into a group; one that has ended needs none.
func join(group string, pid int) error {
	err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// abandon ends a process that nobody will wait for.
func (r *Runtime) abandon(p *Process) error {
	_ = ns.PidfdSignal(p.PidFD, syscall.SIGKILL) // it may have ended
	reap(p.Pid)
	r.Forget(p.Pid)
	return p.Close()
}

// command runs one that makes nothing.
func (r *Runtime) command(args []string, more ...string) error {
	r.running.RLock()
	defer r.Reap()
	defer r.running.RUnlock()
	return r.run(&request{args: args, more: more, file: r.name(args[0])})
}

// name is for the files of one command among many.
func (r *Runtime) name(command string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	return command + "-" + strconv.Itoa(r.number)
}
