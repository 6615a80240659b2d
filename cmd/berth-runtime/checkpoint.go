package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/sandbox/checkpoint"
)

// criuFlags declares what checkpoint and restore have in common.
func criuFlags(f *flag.FlagSet, o *checkpoint.Options) {
	f.StringVar(&o.Images, "image-path", "", "`directory` of the saved processes (default: checkpoint in the current one)")
	f.StringVar(&o.Work, "work-path", "", "`directory` of criu's log and temporary files (default: that of --image-path)")
	f.BoolVar(&o.TCPEstablished, "tcp-established", false, "keep open TCP connections")
	f.BoolVar(&o.ExtUnixSK, "ext-unix-sk", false, "keep unix sockets whose other end is outside")
	f.BoolVar(&o.ShellJob, "shell-job", false, "allow a session that began outside")
	f.BoolVar(&o.FileLocks, "file-locks", false, "keep locks of files")
	f.StringVar(&o.CgroupsMode, "manage-cgroups-mode", "", "what becomes of cgroups: soft, full, strict or ignore (default: soft)")
	f.BoolVar(&o.AutoDedup, "auto-dedup", false, "free memory pages of earlier files that later ones replace")
	f.BoolVar(&o.LazyPages, "lazy-pages", false, "fetch memory when it is touched (userfaultfd)")
	f.Func("empty-ns", "`kind` of a namespace whose properties are left out; network always is", func(kind string) error {
		if kind != "network" {
			return fmt.Errorf("namespace %q is not supported", kind)
		}
		return nil
	})
}

// paths makes the directories absolute, and that of the saved processes.
func paths(o *checkpoint.Options) (err error) {
	if o.Images == "" {
		o.Images = "checkpoint"
	}
	if o.Images, err = filepath.Abs(o.Images); err != nil {
		return err
	}
	if o.Work != "" {
		o.Work, err = filepath.Abs(o.Work)
	}
	return err
}

func checkpointVerb() *verb {
	d := &checkpoint.Dump{}
	var pageServer string
	var status int
	return &verb{
		name: "checkpoint", args: "container-id", min: 1, max: 1,
		about: "save the processes of a container in files (criu)",
		flags: func(f *flag.FlagSet) {
			criuFlags(f, &d.Options)
			f.StringVar(&d.Parent, "parent-path", "", "`directory` of an earlier pre-dump, relative to --image-path")
			f.BoolVar(&d.LeaveRunning, "leave-running", false, "let the processes run on")
			f.BoolVar(&d.SkipInFlight, "tcp-skip-in-flight", false, "leave out TCP connections that are not established yet")
			f.BoolVar(&d.LinkRemap, "link-remap", false, "give open files without a name a temporary one")
			f.BoolVar(&d.PreDump, "pre-dump", false, "save memory alone, and let the processes run on")
			f.StringVar(&pageServer, "page-server", "", "`ADDRESS:PORT` that memory is sent to, or with --lazy-pages fetched from")
			f.IntVar(&status, "status-fd", -1, "`descriptor` that gets a zero byte when --lazy-pages is ready")
		},
		do: func(ctx context.Context, p *program, args []string) (int, error) {
			if err := paths(&d.Options); err != nil {
				return 1, err
			}
			if err := os.MkdirAll(d.Images, 0o700); err != nil {
				return 1, err
			}
			if err := parent(d); err != nil {
				return 1, err
			}
			var err error
			if d.PageServer, err = server(pageServer); err != nil {
				return 1, err
			}
			if d.Serving, err = ready(status); err != nil {
				return 1, err
			}
			d.Program = p.criu
			return 0, p.root.Checkpoint(ctx, args[0], d)
		},
	}
}

// parent checks that there is an earlier dump. criu would say so late, and
// follow any path.
func parent(d *checkpoint.Dump) error {
	if d.Parent == "" {
		return nil
	}
	if filepath.IsAbs(d.Parent) {
		return fmt.Errorf("--parent-path must be relative: %w", errdefs.ErrInvalidArgument)
	}
	info, err := os.Stat(filepath.Join(d.Images, d.Parent))
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("invalid --parent-path: %w", err)
	}
	return nil
}

func server(text string) (*checkpoint.PageServer, error) {
	if text == "" {
		return nil, nil
	}
	address, port, err := net.SplitHostPort(text)
	if err != nil || address == "" {
		return nil, fmt.Errorf("Use --page-server ADDRESS:PORT to specify page server: %w", errdefs.ErrInvalidArgument)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("Invalid port number: %q: %w", port, errdefs.ErrInvalidArgument)
	}
	return &checkpoint.PageServer{Address: address, Port: int32(n)}, nil
}

// ready writes to a descriptor of the caller's, and closes it.
func ready(fd int) (func() error, error) {
	if fd < 0 {
		return nil, nil
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("invalid --status-fd argument %d: %w", fd, err)
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, fmt.Errorf("invalid --status-fd argument %d: not writable", fd)
	}
	unix.CloseOnExec(fd)
	return func() error {
		f := os.NewFile(uintptr(fd), "status")
		_, err := f.Write([]byte{0})
		return errors.Join(err, f.Close())
	}, nil
}
