package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/cgroup"
	"github.com/berth-engine/berth/sandbox/foreign"
	"github.com/berth-engine/berth/sandbox/monitor"
	"github.com/berth-engine/berth/sandbox/stage"
)

// foreignMessage makes the launch message for another OCI runtime, and the
// bundle in the sandbox's directory.
func (r *Runtime) foreignMessage(b *Bundle, i *instance, group *cgroup.Group) (*monitor.Launch, []byte, error) {
	own := func(kind specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind && n.Path == "" })
	}
	has := func(kind specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	}
	switch {
	case b.Reaper:
		return nil, nil, fmt.Errorf("an init process (--init) under another runtime than Berth's own: %w", errdefs.ErrNotImplemented)
	case has(specs.UserNamespace):
		return nil, nil, fmt.Errorf("a user namespace under another runtime than Berth's own: %w", errdefs.ErrNotImplemented)
	}
	l := r.frame(b, i, group)
	l.Plan = stage.Plan{Terminal: b.Spec.Process.Terminal}
	if own(specs.PIDNamespace) {
		l.Plan.Clone = unix.CLONE_NEWPID
	}
	return l, nil, r.writeBundle(b, i)
}

// writeBundle writes the config as another runtime has to see it: what goes by
// descriptor here, it finds by path.
func (r *Runtime) writeBundle(b *Bundle, i *instance) error {
	dir := r.dir(b.ID)
	if err := os.Mkdir(filepath.Join(dir, foreign.RootDir), 0o700); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	spec, linux := *b.Spec, *b.Spec.Linux
	spec.Linux = &linux
	spec.Version = "1.0.2" // some take no newer ones; what those have added is ignored or refused by name
	root := specs.Root{Path: foreign.RootDir}
	if b.Spec.Root != nil {
		root.Readonly = b.Spec.Root.Readonly
	}
	spec.Root = &root
	linux.CgroupsPath = path.Join(i.CgroupParent, i.CgroupName)
	if b.NetNS != nil {
		linux.Namespaces = slices.Clone(linux.Namespaces)
		for i := range linux.Namespaces {
			if n := &linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
				n.Path = descriptorPath(b.NetNS)
			}
		}
	}
	spec.Mounts = slices.Clone(spec.Mounts)
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if m.Type == "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			m.Options = append(slices.Clone(m.Options), "bind") // they go by the options alone
		}
		source := b.Sources[m.Source]
		if source == nil || m.Type != "bind" {
			continue
		}
		m.Source = monitor.SourcePath(dir, i)
		if err := placeFor(source, m.Source); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
	}
	text, err := json.Marshal(&spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, foreign.ConfigFile), text, 0o600); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// placeFor makes a file or directory for a mount to be put on.
func placeFor(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.Mkdir(path, 0o700)
	}
	return os.WriteFile(path, nil, 0o600)
}

// descriptorPath names one of our open files for another process of root.
func descriptorPath(f *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

// noProgram gives a launch that failed for want of the program, which another
// runtime looks for early, the form of a start that did.
func noProgram(err error) error {
	if e := (*monitor.Error)(nil); errors.As(err, &e) && e.Exec() {
		return &StartError{ExitCode: e.ExitCode, Text: e.Text}
	}
	return err
}
