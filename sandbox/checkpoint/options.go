package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Options are what saving and restoring have in common. What is empty is
// criu's default.
type Options struct {
	// Images is the directory of the files. Work is that of criu's log and of
	// what it needs meanwhile; default: Images. Both are made if their parents
	// are there.
	Images, Work string
	// TCPEstablished keeps connections that are open; ExtUnixSK keeps sockets
	// whose other end is outside; ShellJob allows a session that began outside;
	// FileLocks keeps locks of files.
	TCPEstablished, ExtUnixSK, ShellJob, FileLocks bool
	// AutoDedup frees pages of earlier files that later ones replace.
	AutoDedup bool
	// LazyPages leaves memory behind, to be fetched when it is touched.
	LazyPages bool
	// CgroupsMode says what becomes of the cgroups: soft (default), full, strict
	// or ignore.
	CgroupsMode string
	// Program is criu: a path, or a name to look up in $PATH. Default: "criu".
	Program string
	// Config is a configuration file of criu (criu(8), --config), whose options
	// go before these; one that does not exist is none.
	Config string
}

// The network is not criu's: whoever has made the namespace gives it its
// interfaces again.
const emptyNamespaces = unix.CLONE_NEWNET

// request makes the part of a request that all have.
func (o *Options) request(log string) (*rpc.CriuOpts, error) {
	mode, err := cgroupsMode(o.CgroupsMode)
	if err != nil {
		return nil, err
	}
	r := &rpc.CriuOpts{
		LogFile: &log, LogLevel: new(int32(4)),
		NotifyScripts: new(true), OrphanPtsMaster: new(true),
		ManageCgroups: new(true), ManageCgroupsMode: &mode, EmptyNs: new(uint32(emptyNamespaces)),
		TcpEstablished: &o.TCPEstablished, ExtUnixSk: &o.ExtUnixSK, ShellJob: &o.ShellJob, FileLocks: &o.FileLocks,
		AutoDedup: &o.AutoDedup, LazyPages: &o.LazyPages,
	}
	if o.Config != "" {
		r.ConfigFile = &o.Config
	}
	return r, nil
}

func cgroupsMode(name string) (rpc.CriuCgMode, error) {
	modes := map[string]rpc.CriuCgMode{
		"": rpc.CriuCgMode_DEFAULT, "soft": rpc.CriuCgMode_SOFT, "full": rpc.CriuCgMode_FULL,
		"strict": rpc.CriuCgMode_STRICT, "ignore": rpc.CriuCgMode_IGNORE,
	}
	mode, ok := modes[name]
	if !ok {
		return 0, fmt.Errorf("invalid manage-cgroups-mode value: %q is none of soft, full, strict and ignore: %w", name, errdefs.ErrInvalidArgument)
	}
	return mode, nil
}

// directories opens those of the files and of the log. criu gets their
// descriptors; it finds them through /proc/PID/fd of who connects.
func (o *Options) directories(r *rpc.CriuOpts) (done func(), err error) {
	var open []*os.File
	done = func() {
		for _, f := range open {
			f.Close()
		}
	}
	add := func(path string, field **int32) error {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		open = append(open, f)
		*field = new(int32(f.Fd()))
		return nil
	}
	if err := add(o.Images, &r.ImagesDirFd); err != nil {
		return done, fmt.Errorf("directory of the saved processes: %w", err)
	}
	if o.Work != "" {
		if err := add(o.Work, &r.WorkDirFd); err != nil {
			return done, fmt.Errorf("work directory: %w", err)
		}
	}
	return done, nil
}

// logDir is where criu writes its log.
func (o *Options) logDir() string {
	if o.Work != "" {
		return o.Work
	}
	return o.Images
}
