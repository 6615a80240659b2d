package mount

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

// Each test here fails when the defence of its name is built out (make
// attack-mutants).

// A stranger's file that never ends, or never begins, is not read.
func TestAttackReadable(t *testing.T) {
	root, dir, _ := tree(t)
	check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	check(t, unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	// Somebody writes, so that the test ends without the defence, too.
	writer, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
	check(t, err)
	go func() {
		_, _ = io.WriteString(writer, "bytes of an enemy")
		writer.Close()
	}()
	for _, path := range []string{"fifo", "null"} {
		if b, err := ReadFileInRoot(root, path, 10); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}

// A sparse file of a gigabyte costs an image nothing and the engine its memory.
func TestAttackBounded(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "sparse"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	check(t, err)
	defer f.Close()
	check(t, f.Truncate(1<<30))
	if n, err := io.Copy(io.Discard, bounded(f, 4<<20)); err != nil || n != 4<<20 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// A link where the kernel's file systems belong is not followed, wherever it
// leads.
func TestAttackStrict(t *testing.T) {
	root, dir, _ := tree(t)
	check(t, os.Symlink("a", filepath.Join(dir, "proc")))
	if _, err := OpenStrict(root, "/proc", unix.O_PATH|unix.O_DIRECTORY, 0); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v", err)
	}
}

// What a write to procfs means cannot be changed by what is mounted over
// /proc (CVE-2025-52881).
func TestAttackOwnProc(t *testing.T) {
	check(t, ns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := MakePrivate(); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", "/proc/sys", "tmpfs", 0, ""); err != nil {
			return err
		}
		const path = "/proc/sys/net/ipv4/ip_forward"
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		p, err := NewProc()
		if err != nil {
			return err
		}
		defer p.Close()
		if err := p.Write("sys/net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
		if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
			t.Errorf("the write went to the enemy's file: %q, %v", b, err)
		}
		return nil
	}))
}

// A file that is not on procfs is not written, however it came there.
func TestAttackOnProc(t *testing.T) {
	tmp, err := New("tmpfs", "", nil, 0)
	check(t, err)
	defer tmp.Close()
	f, err := OpenInRoot(tmp, "exec", os.O_CREATE|os.O_WRONLY, 0o644)
	check(t, err)
	check(t, f.Close())
	if err := (&Proc{root: tmp}).Write("exec", "exec profile"); err == nil {
		t.Error("written")
	}
}

// The mode of a new node is not given to where a link leads that an enemy has
// put in its place meanwhile.
func TestAttackOpenNode(t *testing.T) {
	root, dir, host := tree(t)
	fifo := filepath.Join(host, "fifo")
	check(t, unix.Mkfifo(fifo, 0o600))
	check(t, os.Symlink(fifo, filepath.Join(dir, "node")))
	if err := chmodNode(root, "node", unix.S_IFIFO|0o666); err == nil {
		t.Error("no error")
	}
	if info, err := os.Stat(fifo); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the host's file is %v, %v", info.Mode(), err)
	}
}
