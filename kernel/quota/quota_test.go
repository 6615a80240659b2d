package quota

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of what the kernel reads and writes.
func TestLayouts(t *testing.T) {
	for name, sizes := range map[string][2]uintptr{
		"fs_disk_quota": {unsafe.Sizeof(limits{}), 112},
		"fs_quota_stat": {unsafe.Sizeof(state{}), 80},
		"fsxattr":       {unsafe.Sizeof(attributes{}), 28},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("struct %s has %d bytes, not %d", name, sizes[0], sizes[1])
		}
	}
}

func TestUnsupportedNamesTheRemedy(t *testing.T) {
	for path, text := range map[string]string{"/proc": "put the data-root on xfs", "/dev/shm": "/dev/shm is on tmpfs without project quotas: put"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		err := Supported(path)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := New("x").Make(path, 1); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestKeepDoubts(t *testing.T) {
	p := New("x")
	for _, id := range []uint32{0, 1, 1 << 20, least - 1, 1<<32 - 1} {
		if err := p.Keep(t.TempDir(), id, 1); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("project %d: %v", id, err)
		}
	}
	_ = p.Keep(t.TempDir(), least, 1) // it may be that nothing is limited here
	if err := p.Keep(t.TempDir(), least, 1); !errors.Is(err, os.ErrExist) {
		t.Errorf("taken twice: %v", err)
	}
}

// eachFileSystem runs a test on all file systems with project quotas.
func eachFileSystem(t *testing.T, test func(t *testing.T, dir string)) {
	list := os.Getenv("BERTH_TEST_QUOTA")
	if list == "" {
		t.Skip("no file system with project quotas: BERTH_TEST_QUOTA is not set")
	}
	for root := range strings.SplitSeq(list, ":") {
		t.Run(filepath.Base(root), func(t *testing.T) {
			dir, err := os.MkdirTemp(root, "quota-") //nolint:usetesting // it has to be there
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			test(t, dir)
		})
	}
}

func mkdir(t *testing.T, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fill writes to a file until it is refused, as a program without
// CAP_SYS_RESOURCE.
func fill(t *testing.T, path string, atMost int64) (written int64, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with the goroutine
		if err = dropResource(); err != nil {
			return
		}
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666); err != nil {
			return
		}
		defer f.Close()
		for block := make([]byte, 64<<10); written < atMost && err == nil; {
			var n int
			n, err = f.Write(block)
			written += int64(n)
		}
		if err == nil {
			err = f.Sync() // which is when XFS allocates
		}
	}()
	<-done
	return written, err
}

func dropResource() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err
	}
	caps[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
	return unix.Capset(&header, &caps[0])
}

func TestLimits(t *testing.T) {
	eachFileSystem(t, func(t *testing.T, root string) {
		if err := Supported(root); err != nil {
			t.Fatal(err)
		}
		p := New(root)
		dir, other := mkdir(t, root, "one"), mkdir(t, root, "two")
		const limit = 4 << 20
		id, err := p.Make(dir, limit)
		if err != nil {
			t.Fatal(err)
		}
		second, err := p.Make(other, limit)
		if err != nil || second == id {
			t.Fatalf("the second is %d like the first, %v", second, err)
		}
		sub := mkdir(t, dir, "sub") // belongs to it, too
		n, err := fill(t, filepath.Join(sub, "f"), 2*limit)
		if !errors.Is(err, unix.EDQUOT) && !errors.Is(err, unix.ENOSPC) || n > limit {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if n, err := fill(t, filepath.Join(other, "f"), limit/2); err != nil || n < limit/2 {
			t.Errorf("the other's: %d bytes, %v", n, err)
		}
		if used, err := p.Used(dir, id); err != nil || used == 0 || used > limit {
			t.Errorf("used: %d, %v", used, err)
		}
		if err := p.Limit(root, id, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := fill(t, filepath.Join(dir, "g"), 2*limit); err != nil {
			t.Errorf("without a limit: %v", err)
		}
	})
}

// A number is given out again when nothing is left of its files, and not
// before, also by an engine that knows nothing of the one that had it.
func TestNumbersAreGivenBack(t *testing.T) {
	eachFileSystem(t, func(t *testing.T, root string) {
		dir := mkdir(t, root, "one")
		p := New(root)
		id, err := p.Make(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Drop(root, id); err != nil {
			t.Fatal(err)
		}
		second := mkdir(t, root, "two")
		if again, err := New(root).Make(second, 1<<20); err != nil || again == id {
			t.Errorf("project %d again, while the directory is there: %v", again, err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for { // XFS deletes in the background
			if l, err := get(f, id); err != nil || t.Context().Err() != nil {
				t.Fatalf("waiting for the end of a directory: %v", err)
			} else if l.inodes == 0 {
				break
			}
			runtime.Gosched()
		}
		if again, err := New(root).Make(mkdir(t, root, "three"), 1<<20); err != nil || again != id {
			t.Errorf("project %d, not %d that is free: %v", again, id, err)
		}
	})
}

// After a restart a limit is as it was, whatever the project of the directory is.
func TestKeep(t *testing.T) {
	eachFileSystem(t, func(t *testing.T, root string) {
		dir := mkdir(t, root, "one")
		id, err := New(root).Make(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := join(f, 7); err != nil {
			t.Fatal(err)
		}
		p := New(root)
		if err := p.Keep(dir, id, 1<<20); err != nil {
			t.Fatal(err)
		}
		if n, err := fill(t, filepath.Join(dir, "f"), 4<<20); err == nil {
			t.Errorf("%d bytes were written", n)
		}
		if err := p.Keep(mkdir(t, root, "two"), id, 1<<20); !errors.Is(err, os.ErrExist) {
			t.Errorf("another with the same number: %v", err)
		}
	})
}
