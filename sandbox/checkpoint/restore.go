package checkpoint

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"

	"github.com/berth-engine/berth/kernel/ns"
)

// A Restore says what saved processes are to find.
type Restore struct {
	Options
	// Root is the path of the root file system on the host, and Scratch that of
	// an empty directory, which becomes it for criu.
	Root, Scratch string
	// Places are destinations of mounts, in the order of mounting.
	Places []Place
	// Mounts are those that criu did not save, with the path on the host of what
	// is to be mounted.
	Mounts []Mount
	// Namespaces are those that criu did not save (Dump.Namespaces). Join are
	// others that exist already.
	Namespaces, Join []Namespace
	// Group puts a process, criu, into the container's control groups: what it
	// makes is there.
	Group func(pid int) error
	// Stdio are the standard streams. Descriptors says what they were when the
	// container was made (Streams); those that were pipes are given again.
	Stdio       [3]*os.File
	Descriptors []string
	// LSMProfile (TYPE:NAME) and LSMMountContext replace the saved ones.
	LSMProfile, LSMMountContext string

	// Prepared is called when the namespaces are there and no process runs in
	// them, Restored when all processes are there and none runs yet; both get
	// process 1, which is a child of the caller. Console gets the master of the
	// container's terminal. Any may be nil.
	Prepared, Restored func(pid int) error
	Console            func(master *os.File) error
}

// A Place is where something is mounted. It is made in the root file system if
// it is missing. Source, on the host, is what is mounted there, if it is a bind
// mount: further places may be in it.
type Place struct{ Destination, Source string }

const restoreLog = "restore.log"

// Run makes the processes. They run when it returns. If it fails, what is left
// of them is in those groups and nowhere else.
func (r *Restore) Run(ctx context.Context) error {
	if err := r.check(ctx, false, r.LazyPages); err != nil {
		return err
	}
	opts, err := r.describe()
	if err != nil {
		return err
	}
	files, err := r.inherit(opts)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	var s *session
	done := func() {}
	defer func() { done() }()
	err = ns.OnThread(func() error {
		if err := r.mounts(); err != nil {
			return fmt.Errorf("mounts: %w", err)
		}
		// criu mounts in them, so they must be opened in its mount namespace.
		if done, err = r.directories(opts); err != nil {
			return err
		}
		s, err = r.begin(ctx, r.Stdio, files...)
		return err
	})
	if err != nil {
		return err
	}
	s.notified = r.notified
	if opts.CgRoot, err = r.group(s.cmd.Process.Pid); err == nil {
		_, err = s.ask(&rpc.CriuReq{Type: new(rpc.CriuReqType_RESTORE), Opts: opts})
	}
	if end := s.end(); err == nil && end != nil {
		err = fmt.Errorf("%w: %w", errRefused, end)
	}
	return r.explain(err, restoreLog)
}

func (r *Restore) notified(script string, pid int, file *os.File) error {
	switch {
	case script == "orphan-pts-master" && file != nil && r.Console != nil:
		return r.Console(file)
	case script == "setup-namespaces" && r.Prepared != nil:
		closeFile(file)
		return r.Prepared(pid)
	case script == "post-restore" && r.Restored != nil:
		closeFile(file)
		return r.Restored(pid)
	}
	closeFile(file)
	return nil
}

func (r *Restore) describe() (*rpc.CriuOpts, error) {
	opts, err := r.request(restoreLog)
	if err != nil {
		return nil, err
	}
	opts.Root, opts.EvasiveDevices = &r.Scratch, new(true)
	opts.RstSibling = new(true) // the processes are the caller's, not criu's
	if r.LSMProfile != "" {
		opts.LsmProfile = &r.LSMProfile
	}
	if r.LSMMountContext != "" {
		opts.LsmMountContext = &r.LSMMountContext
	}
	for _, m := range r.Mounts {
		opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: &m.Name, Val: &m.Path})
	}
	for _, n := range r.Join {
		opts.JoinNs = append(opts.JoinNs, &rpc.JoinNamespace{Ns: &n.Kind, NsFile: &n.Path})
	}
	return opts, nil
}

// inherit says which descriptors criu is given in the place of pipes and
// namespaces, and opens the latter.
func (r *Restore) inherit(opts *rpc.CriuOpts) (files []*os.File, err error) {
	for i, was := range r.Descriptors {
		if strings.Contains(was, "pipe:") && i < len(r.Stdio) && r.Stdio[i] != nil {
			opts.InheritFd = append(opts.InheritFd, &rpc.InheritFd{Key: &was, Fd: new(int32(i))})
		}
	}
	const first = 4 // after the streams and the socket
	for _, n := range r.Namespaces {
		f, err := os.Open(n.Path)
		if err != nil {
			return files, fmt.Errorf("namespace that the container had: %w", err)
		}
		opts.InheritFd = append(opts.InheritFd, &rpc.InheritFd{Key: new(n.key()), Fd: new(int32(first + len(files)))})
		files = append(files, f)
	}
	return files, nil
}

// Streams says what the standard streams of the calling process are.
func Streams() ([]string, error) {
	list := make([]string, 3)
	for i := range list {
		var err error
		if list[i], err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", i)); err != nil {
			return nil, err
		}
	}
	return list, nil
}
