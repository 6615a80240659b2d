package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/kernel/ns"
)

var shm = specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536"}}

// shmBundle is one with a /dev/shm.
func shmBundle(t testing.TB, id string, args ...string) *Bundle {
	t.Helper()
	b := bundle(t, id, args...)
	b.Spec.Mounts = append(b.Spec.Mounts, shm)
	return b
}

// joinIPC makes b a container of s's IPC namespace and shared memory.
func joinIPC(t testing.TB, b *Bundle, s *Sandbox) {
	t.Helper()
	memory, err := s.Shm()
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := s.Namespace("ipc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = memory.Close(), namespace.Close() })
	b.Sources = map[string]*os.File{"theirs": memory}
	b.Spec.Mounts = append(b.Spec.Mounts, specs.Mount{Destination: "/dev/shm", Type: "bind", Source: "theirs", Options: []string{"nosuid", "noexec", "nodev"}})
	i := slices.IndexFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.IPCNamespace })
	b.Spec.Linux.Namespaces[i].Path = pathOf(namespace)
}

func pathOf(f *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

func TestSharedIPC(t *testing.T) {
	r := newRuntime(t, Options{})
	owner := r.launch(t, shmBundle(t, "owner", "put", "/dev/shm/word", "shared"))
	st := owner.attachTest(t, both)
	owner.startTest(t)
	expect(t, st, "ready\n")
	for _, id := range []string{"first", "second"} { // it can be had any number of times
		b := bundle(t, id, "get", "/dev/shm/word")
		joinIPC(t, b, owner)
		s := r.launch(t, b)
		st := s.attachTest(t, both)
		s.startTest(t)
		if out, err := output(t, st); out != "/dev/shm/word 0:0 shared\n" || err != "" {
			t.Errorf("%q, %q", out, err)
		}
		if ours, theirs := ipcOf(t, s.Pid()), ipcOf(t, owner.Pid()); ours != "" && ours != theirs {
			t.Errorf("IPC namespace %s instead of %s", ours, theirs)
		}
	}
}

// ipcOf is empty when the process has ended.
func ipcOf(t testing.TB, pid int) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/ipc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return name
}

// Nothing but a tmpfs is given away, and nothing of a container that has ended.
func TestShmOfNobody(t *testing.T) {
	r := newRuntime(t, Options{})
	s := r.launch(t, bundle(t, "without", "sleep"))
	if f, err := s.Shm(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without a tmpfs: %v, %v", f, err)
	}
	b := bundle(t, "linked", "sleep")
	b.Spec.Mounts = b.Spec.Mounts[:1] // no /dev
	b.Rootfs = linkedRoot(t)
	linked := r.launch(t, b)
	if f, err := linked.Shm(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("by way of a link: %v, %v", f, err)
	}
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitTest(t)
	if f, err := s.Shm(); !errdefs.IsNotFound(err) {
		t.Errorf("of an ended one: %v, %v", f, err)
	}
}

// linkedRoot is a root in which /dev/shm is a link.
func linkedRoot(t testing.TB) *os.File {
	t.Helper()
	dir := t.TempDir()
	top := filepath.Join(dir, "upper")
	for _, d := range []string{filepath.Join(top, "dev"), filepath.Join(dir, "work")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/proc", filepath.Join(top, "dev/shm")); err != nil {
		t.Fatal(err)
	}
	root, err := mount.Overlay(mount.Layers{Lower: []string{filepath.Join(programs, "root")}, Upper: top, Work: filepath.Join(dir, "work")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestSourcesAreTaken(t *testing.T) {
	r := newRuntime(t, Options{})
	b := bundle(t, "unused", "exit", "0")
	b.Sources = map[string]*os.File{"nobody's": b.Rootfs}
	if s, err := r.Launch(t.Context(), b); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v, %v", s, err)
	}
}

// userBundle is one in a user namespace, with a root file system whose lower
// layer belongs to the host's root, and a network of its own.
func userBundle(t testing.TB, id string, args ...string) *Bundle {
	t.Helper()
	ids := []ns.IDMap{{Inside: 0, Outside: 100000, Size: 65536}}
	user, err := ns.NewUserNS(ids, ids)
	if err != nil {
		t.Fatal(err)
	}
	net, err := ns.NewNetNSOf(user)
	if err != nil {
		t.Fatal(err)
	}
	b := bundle(t, id, args...)
	dir := t.TempDir()
	l := mount.Layers{Lower: []string{filepath.Join(programs, "root")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), IDMap: user}
	for _, d := range []string{l.Upper, l.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, 100000, 100000); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mount.Overlay(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = root.Close(), net.Close(), user.Close() })
	b.Rootfs, b.NetNS = root, net
	b.Spec.Mounts = append(b.Spec.Mounts, shm)
	b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: pathOf(user)})
	b.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	return b
}

// An engine's container in a user namespace: image layers of the host's root
// are its own root's, and so is its network.
func TestUserNamespace(t *testing.T) {
	r := newRuntime(t, Options{})
	b := userBundle(t, "user", "get", "/etc/passwd", "/proc/sys/net/ipv4/ip_unprivileged_port_start")
	s := r.launch(t, b)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil || !strings.Contains(string(status), "Uid:\t100000\t100000") {
		t.Errorf("on the host: %v\n%s", err, status)
	}
	st := s.attachTest(t, both)
	s.startTest(t)
	out, stderr := output(t, st)
	if want := "/etc/passwd 0:0 root:x:0:0::/:\n\n/proc/sys/net/ipv4/ip_unprivileged_port_start 0:0 0\n\n"; out != want || stderr != "" {
		t.Errorf("%q, %q", out, stderr)
	}
}

// Shared memory of a container in a user namespace, for another one in it.
func TestUserNamespaceShares(t *testing.T) {
	r := newRuntime(t, Options{})
	b := userBundle(t, "owner", "put", "/dev/shm/word", "shared")
	owner := r.launch(t, b)
	st := owner.attachTest(t, both)
	owner.startTest(t)
	expect(t, st, "ready\n")
	second := userBundle(t, "second", "get", "/dev/shm/word")
	second.Spec.Mounts = second.Spec.Mounts[:len(second.Spec.Mounts)-1]
	second.Spec.Linux.Namespaces[len(second.Spec.Linux.Namespaces)-1] = b.Spec.Linux.Namespaces[len(b.Spec.Linux.Namespaces)-1]
	second.NetNS = b.NetNS
	joinIPC(t, second, owner)
	s := r.launch(t, second)
	st = s.attachTest(t, both)
	s.startTest(t)
	if out, err := output(t, st); out != "/dev/shm/word 0:0 shared\n" || err != "" {
		t.Errorf("%q, %q", out, err)
	}
}
