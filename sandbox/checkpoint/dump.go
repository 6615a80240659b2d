package checkpoint

import (
	"context"
	"fmt"
	"os"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// A Dump says what is saved, and how.
type Dump struct {
	Options
	// Pid is process 1.
	Pid int
	// Root is the path of the root file system on the host.
	Root string
	// Freezer is the directory of the cgroup that stops all processes.
	Freezer string
	// Mounts are those that criu is not to save, but will be given again. They
	// are named as Restore.Mounts will be; Path is where they are mounted in the
	// container, without links.
	Mounts []Mount
	// Namespaces are those that are not the container's own, and will be given
	// again.
	Namespaces []Namespace

	// LeaveRunning lets the processes run on.
	LeaveRunning bool
	// PreDump saves memory alone and lets the processes run on; a later dump
	// whose Parent this directory is saves what has changed. Parent is relative
	// to Images.
	PreDump bool
	Parent  string
	// SkipInFlight leaves out connections that are not established yet;
	// LinkRemap gives files that have no name a temporary one.
	SkipInFlight, LinkRemap bool
	// PageServer is where memory is sent, or with LazyPages offered, instead of
	// to a file.
	PageServer *PageServer
	// Serving is called when a page server for LazyPages is ready.
	Serving func() error
}

// A Mount is known to criu by name alone.
type Mount struct{ Name, Path string }

// A Namespace is that of a file, such as /proc/1/ns/net, of a kind such as
// "net".
type Namespace struct{ Kind, Path string }

// key is what criu knows a namespace by, at both times.
func (n Namespace) key() string { return "extRoot" + n.Kind + "NS" }

// A PageServer listens at an address of the network.
type PageServer struct {
	Address string
	Port    int32
}

const dumpLog = "dump.log"

// Run saves the processes. Without LeaveRunning and PreDump they have been
// killed when it returns.
func (d *Dump) Run(ctx context.Context) error {
	if err := d.check(ctx, d.PreDump, d.LazyPages); err != nil {
		return err
	}
	opts, err := d.describe()
	if err != nil {
		return err
	}
	done, err := d.directories(opts)
	defer done()
	if err != nil {
		return err
	}
	s, err := d.begin(ctx, [3]*os.File{})
	if err != nil {
		return err
	}
	s.notified = func(script string, _ int, file *os.File) error {
		closeFile(file)
		if script == "status-ready" && d.Serving != nil {
			return d.Serving()
		}
		return nil
	}
	kind := rpc.CriuReqType_DUMP
	if d.PreDump {
		kind = rpc.CriuReqType_PRE_DUMP
	}
	_, err = s.ask(&rpc.CriuReq{Type: &kind, Opts: opts})
	// After a pre-dump, criu waits for the next request and is none too pleased
	// when there is none.
	if end := s.end(); err == nil && end != nil && !d.PreDump {
		err = fmt.Errorf("%w: %w", errRefused, end)
	}
	return d.explain(err, dumpLog)
}

func (d *Dump) describe() (*rpc.CriuOpts, error) {
	opts, err := d.request(dumpLog)
	if err != nil {
		return nil, err
	}
	opts.Pid, opts.Root, opts.LeaveRunning = new(int32(d.Pid)), &d.Root, &d.LeaveRunning
	opts.TcpSkipInFlight, opts.LinkRemap = &d.SkipInFlight, &d.LinkRemap
	if d.Freezer != "" {
		opts.FreezeCgroup = &d.Freezer
	}
	if d.Parent != "" {
		opts.ParentImg, opts.TrackMem = &d.Parent, new(true)
	}
	if p := d.PageServer; p != nil {
		opts.Ps = &rpc.CriuPageServerInfo{Address: &p.Address, Port: &p.Port}
	}
	for _, n := range d.Namespaces {
		var st unix.Stat_t
		if err := unix.Stat(n.Path, &st); err != nil {
			return nil, &os.PathError{Op: "stat", Path: n.Path, Err: err}
		}
		opts.External = append(opts.External, fmt.Sprintf("%s[%d]:%s", n.Kind, st.Ino, n.key()))
	}
	if d.PreDump {
		return opts, nil
	}
	for _, m := range d.Mounts {
		opts.ExtMnt = append(opts.ExtMnt, &rpc.ExtMountMap{Key: &m.Path, Val: &m.Name})
	}
	return opts, nil
}
