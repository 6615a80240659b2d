package conformance

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A must is one requirement: where the text makes it, what it says in short, and
// how a runtime is held to it.
type must struct {
	section string // file and heading, as a link has them
	says    string
	test    func(*testing.T)
}

type edit = func(*specs.Spec)

// hold runs every row as a test of its own.
func hold(t *testing.T, all []must) {
	for _, m := range all {
		t.Run(m.section+"/"+m.says, m.test)
	}
}

// inside runs a script in a container of the edited configuration and compares
// what it prints.
func inside(want, script string, edits ...edit) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		b := newBox(t, append([]edit{sh(script)}, edits...)...)
		if got := strings.TrimSpace(b.run()); got != want {
			t.Errorf("%s\nprints %q, not %q", script, got, want)
		}
	}
}

// refused has the runtime refuse the edited configuration, and leave nothing: an
// error must leave the environment as if the operation was never attempted.
func refused(edits ...edit) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		b := newBox(t, edits...)
		if err := b.create(); err == nil {
			t.Fatal("create succeeds")
		}
		if b.exists() {
			t.Error("a refused container exists")
		}
		if left := groupsOf(b.id); len(left) > 0 {
			t.Errorf("control groups are left: %v", left)
		}
	}
}

// accepted has the runtime take the edited configuration.
func accepted(edits ...edit) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		newBox(t, edits...).mustCreate()
	}
}

// sh has the container run a script.
func sh(script string) edit {
	return func(s *specs.Spec) { s.Process.Args = []string{"/bin/sh", "-c", script} }
}

// waits has the container run until it is killed.
func waits(s *specs.Spec) { s.Process.Args = []string{"/bin/sleep", "1000"} }

// linux edits the Linux section.
func linux(f func(*specs.Linux)) edit { return func(s *specs.Spec) { f(s.Linux) } }

// process edits the process.
func process(f func(*specs.Process)) edit { return func(s *specs.Spec) { f(s.Process) } }

// resources edits the limits.
func resources(f func(*specs.LinuxResources)) edit {
	return func(s *specs.Spec) {
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		f(s.Linux.Resources)
	}
}

// mounts adds a mount after those of the default configuration.
func mounts(destination, kind, source string, options ...string) edit {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: kind, Source: source, Options: options})
	}
}

// without removes a namespace, so that the runtime's own is inherited.
func without(kind specs.LinuxNamespaceType) edit {
	return linux(func(l *specs.Linux) {
		var kept []specs.LinuxNamespace
		for _, n := range l.Namespaces {
			if n.Type != kind {
				kept = append(kept, n)
			}
		}
		l.Namespaces = kept
	})
}

// with adds a namespace, new or that at path, in place of the default one.
func with(kind specs.LinuxNamespaceType, path string) edit {
	return func(s *specs.Spec) {
		without(kind)(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
}

// defaultSpec is a plain container: what runtimes' spec commands write, without a
// terminal and with a writable root.
func defaultSpec(group string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"}
	m := func(destination, kind string, options ...string) specs.Mount {
		return specs.Mount{Destination: destination, Type: kind, Source: kind, Options: options}
	}
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: []string{"/bin/true"}, Cwd: "/", Env: []string{"PATH=/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			m("/proc", "proc"),
			m("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			m("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
			m("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
		},
		Linux: &specs.Linux{
			CgroupsPath: group,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
			},
		},
	}
}
