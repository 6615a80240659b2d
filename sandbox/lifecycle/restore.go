package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/kernel/ns"
	"github.com/berth-engine/berth/kernel/task"
	"github.com/berth-engine/berth/sandbox/checkpoint"
	"github.com/berth-engine/berth/sandbox/hook"
	"github.com/berth-engine/berth/sandbox/stage"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// RestoreOptions say how a container is made of saved processes.
type RestoreOptions struct {
	RunOptions // NoPivot, KeepKeyring, Preserve and Env mean nothing here
	checkpoint.Options
	// LSMProfile and LSMMountContext are as in checkpoint.Restore.
	LSMProfile, LSMMountContext string
}

// scratchDir, in a container's directory, becomes the root file system for
// criu.
const scratchDir = "criu-root"

// Restore makes a container of saved processes, with the configuration of a
// bundle, which must be that which they began with. Without Detach it waits for
// their end, as Run does. Hooks that belong to the making of namespaces run;
// those of the start have run.
// Errors: as of Create and Checkpoint.
func (r *Root) Restore(ctx context.Context, id string, o *RestoreOptions) (int, error) {
	m := &making{o: o.CreateOptions, detached: o.Detach}
	defer m.close()
	if !o.Detach && !o.NoSubreaper {
		if err := task.Subreaper(); err != nil {
			r.warn("%v", err)
		}
	}
	m.revive = func() error { return m.restore(ctx, o) }
	if err := m.make(ctx, r, id); err != nil {
		return -1, err
	}
	if o.Detach {
		return 0, nil
	}
	var relay *relay
	if m.process.Console != nil {
		var err error
		if relay, err = newRelay(m.process.Console); err != nil {
			return -1, errors.Join(err, m.takeBack())
		}
		defer relay.close()
	}
	if err := m.c.unlock(); err != nil {
		return -1, errors.Join(err, m.takeBack())
	}
	return m.attend(ctx, relay, o.Keep)
}

// restore has criu make the processes.
func (m *making) restore(ctx context.Context, o *RestoreOptions) error {
	root := m.c.root
	scratch := filepath.Join(root.Dir, m.c.ID, scratchDir)
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	defer os.Remove(scratch) // a mount there is criu's, and nobody else's
	groups, err := cgroup.Dirs(m.c.CgroupParent, m.c.CgroupName)
	if err != nil {
		return err
	}
	spec := m.b.spec
	r := &checkpoint.Restore{
		Options: o.Options, Root: m.b.rootfs, Scratch: scratch, Places: places(spec),
		Namespaces: kept(spec), Join: joined(spec), Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		LSMProfile: o.LSMProfile, LSMMountContext: o.LSMMountContext,
		Group: func(pid int) error { return m.placeRestored(groups, pid) },
		Prepared: func(pid int) error {
			for _, kind := range []hook.Kind{hook.Prestart, hook.CreateRuntime} {
				if err := new(hook.Runner).Run(ctx, kind, spec.Hooks, m.c.oci(specs.StateCreating, pid)); err != nil {
					return err
				}
			}
			return nil
		},
		Restored: m.restored,
		Console:  m.console,
	}
	r.Config = m.c.criuConfig()
	for _, e := range outside(spec, groups) {
		r.Mounts = append(r.Mounts, checkpoint.Mount{Name: e.name, Path: e.source})
	}
	if r.Descriptors, err = readStreams(o.Images); err != nil {
		return err
	}
	if err := r.Run(ctx); err != nil {
		return err
	}
	m.c.Ready = true
	if err := m.c.write(); err != nil {
		return err
	}
	return writePidFile(m.o.PidFile, m.c.Pid)
}

// placeRestored puts criu into the container's groups, by systemd if it is
// systemd's to make them.
func (m *making) placeRestored(groups []string, pid int) error {
	if m.c.root.Systemd {
		return m.unitWith(pid)
	}
	for _, dir := range groups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// restored takes note of process 1, which is our child.
func (m *making) restored(pid int) error {
	p := &stage.Process{Pid: pid}
	var err error
	if p.PidFD, err = ns.PidfdOpen(pid); err != nil {
		return err
	}
	if m.process != nil { // the terminal came before
		p.Console = m.process.Console
	}
	m.process = p
	if p.StartTime, err = ns.ProcessStartTime(pid); err != nil {
		return err
	}
	m.onUndo(func() error { p.Abandon(); return nil })
	m.c.Pid, m.c.StartTime, m.c.Created = p.Pid, p.StartTime, time.Now().UTC()
	return m.c.write() // for whoever removes it if we are killed now
}

// console takes the master of the terminal that criu has made.
func (m *making) console(master *os.File) error {
	if m.o.ConsoleSocket != "" {
		defer master.Close()
		return give(m.o.ConsoleSocket, "/dev/ptmx", master)
	}
	if m.detached { // nobody is there who could hold it
		return master.Close()
	}
	if m.process == nil {
		m.process = &stage.Process{}
	}
	m.process.Console = master
	return nil
}

// places are the destinations of mounts that are in the root file system or in
// something of the host; criu makes those in file systems that it restores.
func places(spec *specs.Spec) []checkpoint.Place {
	var list []checkpoint.Place
	var saved []string
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		p := checkpoint.Place{Destination: path.Clean("/" + m.Destination)}
		below := false
		for _, s := range saved {
			below = below || strings.HasPrefix(p.Destination, s+"/")
		}
		if isBind(m) {
			p.Source = m.Source
		} else {
			saved = append(saved, p.Destination)
		}
		if !below {
			list = append(list, p)
		}
	}
	return list
}

// joined are namespaces of others that criu enters by itself.
func joined(spec *specs.Spec) []checkpoint.Namespace {
	kinds := map[specs.LinuxNamespaceType]string{
		specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.UserNamespace: "user", specs.TimeNamespace: "time", specs.MountNamespace: "mnt",
	}
	var list []checkpoint.Namespace
	for _, n := range spec.Linux.Namespaces {
		if kind := kinds[n.Type]; kind != "" && n.Path != "" {
			list = append(list, checkpoint.Namespace{Kind: kind, Path: n.Path})
		}
	}
	return list
}

func readStreams(dir string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, streamsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no saved processes: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", streamsFile, err)
	}
	return list, nil
}
