package mount

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/ns"
)

func layers(t *testing.T, dir string, n int) (lower []string) {
	t.Helper()
	for i := range n {
		l := filepath.Join(dir, "l"+strconv.Itoa(i))
		check(t, os.MkdirAll(l, 0o755))
		check(t, os.WriteFile(filepath.Join(l, "f"+strconv.Itoa(i)), nil, 0o644))
		check(t, os.WriteFile(filepath.Join(l, "which"), []byte(strconv.Itoa(i)), 0o644))
		lower = append(lower, l)
	}
	return lower
}

func mountCount(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	return bytes.Count(b, []byte("\n"))
}

func TestOverlay(t *testing.T) {
	before := mountCount(t)
	for name, make := range map[string]func(Layers) (*os.File, error){"new": Overlay, "classic": classic} {
		for _, strange := range []string{"plain", "with:colon,comma", strings.Repeat("long/", 60)} {
			dir := filepath.Join(t.TempDir(), strange)
			l := Layers{Lower: layers(t, dir, 20), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
			check(t, os.Mkdir(l.Upper, 0o755))
			check(t, os.Mkdir(l.Work, 0o755))
			f, err := make(l)
			if err != nil {
				t.Fatalf("%s %.10s: %v", name, strange, err)
			}
			if b, err := ReadFileInRoot(f, "which", 10); err != nil || string(b) != "0" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
			if _, err := ReadFileInRoot(f, "f19", 10); err != nil {
				t.Error(err)
			}
			n, err := OpenInRoot(f, "new", os.O_CREATE|os.O_WRONLY, 0o644)
			check(t, err)
			n.Close()
			f.Close()
			if _, err := os.Stat(filepath.Join(l.Upper, "new")); err != nil {
				t.Error(err)
			}
		}
	}
	if after := mountCount(t); after != before {
		t.Errorf("mounts: %d before, %d after", before, after)
	}
}

// However long the paths are, layers are limited by overlayfs alone.
func TestManyLayers(t *testing.T) {
	before := mountCount(t)
	for name, make := range map[string]func(Layers) (*os.File, error){"new": Overlay, "classic": classic} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
		l := Layers{Lower: layers(t, dir, 400), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
		check(t, os.Mkdir(l.Upper, 0o755))
		check(t, os.Mkdir(l.Work, 0o755))
		f, err := make(l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := ReadFileInRoot(f, "which", 10); err != nil || string(b) != "0" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if _, err := ReadFileInRoot(f, "f399", 10); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		n, err := OpenInRoot(f, "new", os.O_CREATE|os.O_WRONLY, 0o644)
		check(t, err)
		n.Close()
		f.Close()
		if _, err := os.Stat(filepath.Join(l.Upper, "new")); err != nil {
			t.Error(err)
		}
	}
	if after := mountCount(t); after != before {
		t.Errorf("mounts: %d before, %d after", before, after)
	}
}

func TestReadOnlyOverlay(t *testing.T) {
	for _, n := range []int{1, 2, 150} {
		f, err := Overlay(Layers{Lower: layers(t, t.TempDir(), n)})
		check(t, err)
		if b, err := ReadFileInRoot(f, "which", 10); err != nil || string(b) != "0" {
			t.Errorf("%d layers: %q, %v", n, b, err)
		}
		if _, err := OpenInRoot(f, "new", os.O_CREATE|os.O_WRONLY, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("%d layers: %v", n, err)
		}
		f.Close()
	}
}

func TestOverlayErrors(t *testing.T) {
	dir := t.TempDir()
	for _, l := range []Layers{{}, {Lower: []string{dir}, Upper: dir}, {Lower: []string{dir + "/nosuch"}}, {Lower: []string{dir, dir + "/nosuch"}}, {Lower: []string{dir}, Upper: dir + "/u", Work: dir + "/w"}} {
		if f, err := Overlay(l); err == nil {
			f.Close()
			t.Errorf("%+v: no error", l)
		}
	}
	for _, make := range []func(Layers) (*os.File, error){Overlay, classic} {
		_, err := make(Layers{Lower: layers(t, dir, 2), Options: []string{"nosuchoption=1"}})
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "nosuchoption") {
			t.Error(err)
		}
	}
}

func TestSupported(t *testing.T) {
	check(t, Supported())
}

func TestProc(t *testing.T) {
	check(t, ns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			return err
		}
		p, err := NewProc()
		if err != nil {
			return err
		}
		defer p.Close()
		for path, ok := range map[string]bool{
			"thread-self/comm": true, "self/fd/../comm": true, "self/root/etc/hostname": false, "../etc/hostname": false, "/etc/hostname": false, "sys/nosuch": false,
		} {
			if err := p.Write(path, "x"); (err == nil) != ok {
				t.Errorf("%s: %v", path, err)
			}
			if ok && !p.Exists(path) || p.Exists(path+"-not") {
				t.Errorf("%s: Exists", path)
			}
		}
		return nil
	}))
}

func TestNodes(t *testing.T) {
	root, dir, _ := tree(t)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	check(t, Mknod(root, "null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3), 1, 2))
	info, err := os.Stat(filepath.Join(dir, "null"))
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info, err)
	}
	if err := Mknod(root, "null", unix.S_IFCHR|0o666, unix.Mkdev(1, 5), 0, 0); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	check(t, Mknod(root, "pipe", unix.S_IFIFO|0o600, 0, 0, 0))
	if _, err := OpenDevice(root, "null", 1, 5, os.O_RDWR); err == nil {
		t.Error("another device is opened")
	}
	f, err := OpenDevice(root, "null", 1, 3, os.O_RDWR)
	check(t, err)
	f.Close()
	check(t, Symlink(root, "x", "pipe"))
	if target, err := os.Readlink(filepath.Join(dir, "pipe")); err != nil || target != "x" {
		t.Errorf("%q, %v", target, err)
	}
}

// Lower layers of user 0 are those of the user namespace's root, on either way
// to mount.
func TestOverlayMapped(t *testing.T) {
	before := mountCount(t)
	ids := []ns.IDMap{{Inside: 0, Outside: 100000, Size: 1000}}
	user, err := ns.NewUserNS(ids, ids)
	check(t, err)
	defer user.Close()
	dir := t.TempDir()
	l := Layers{Lower: layers(t, dir, 3), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"), IDMap: user}
	check(t, os.Mkdir(l.Upper, 0o755))
	check(t, os.Mkdir(l.Work, 0o755))
	for name, l := range map[string]Layers{"writable": l, "read-only": {Lower: l.Lower, IDMap: user}, "one": {Lower: l.Lower[:1], IDMap: user}} {
		f, err := Overlay(l)
		check(t, err)
		n, err := OpenInRoot(f, "which", os.O_RDONLY, 0)
		check(t, err)
		info, err := n.Stat()
		check(t, errors.Join(err, n.Close()))
		if st, ok := StatOf(info); !ok || st.UID != 100000 || st.GID != 100000 {
			t.Errorf("%s: %+v", name, st)
		}
		if l.Upper != "" {
			n, err := OpenInRoot(f, "which", os.O_RDWR, 0)
			check(t, err)
			check(t, n.Close())
			info, err := os.Stat(filepath.Join(l.Upper, "which"))
			check(t, err)
			if st, _ := StatOf(info); st.UID != 100000 {
				t.Errorf("copied up: %+v", st)
			}
		}
		check(t, f.Close())
	}
	if after := mountCount(t); after != before {
		t.Errorf("mounts: %d before, %d after", before, after)
	}
}

// What is written to a mapped upper directory has the owners that layers have,
// and so has what overlayfs makes there itself.
func TestOverlayMappedUpper(t *testing.T) {
	ids := []ns.IDMap{{Inside: 0, Outside: 100000, Size: 1000}}
	user, err := ns.NewUserNS(ids, ids)
	check(t, err)
	defer user.Close()
	dir := t.TempDir()
	l := Layers{Lower: layers(t, dir, 3), Upper: filepath.Join(dir, "s", "upper"), Work: filepath.Join(dir, "s", "work"), IDMap: user, MapUpper: true}
	check(t, os.MkdirAll(l.Upper, 0o755))
	check(t, os.Mkdir(l.Work, 0o755))
	f, err := Overlay(l)
	check(t, err)
	defer f.Close()
	// As somebody whom the mappings know.
	check(t, ns.OnThread(func() error {
		if err := becomeFileOwner(100007, 100008); err != nil {
			return err
		}
		n, err := OpenInRoot(f, "new", os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(n.Close(), unix.Unlinkat(int(f.Fd()), "which", 0))
	}))
	for name, want := range map[string][2]uint32{"new": {7, 8}, "which": {0, 0}} {
		info, err := os.Lstat(filepath.Join(l.Upper, name))
		check(t, err)
		if st, ok := StatOf(info); !ok || st.UID != want[0] || st.GID != want[1] || name == "which" && info.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
			t.Errorf("%s: %v %+v", name, info.Mode(), st)
		}
	}
	l.Work = filepath.Join(dir, "elsewhere")
	if _, err := Overlay(l); err == nil || !strings.Contains(err.Error(), "beside each other") {
		t.Error(err)
	}
}

// A part of a detached tree is a tree, on either way to make it.
func TestClonePart(t *testing.T) {
	before := mountCount(t)
	for name, clone := range map[string]func(tree, part *os.File) (*os.File, error){"new": ClonePart, "old": clonePlaced} {
		whole, err := Overlay(Layers{Lower: layers(t, t.TempDir(), 2)})
		check(t, err)
		at, err := OpenInRoot(whole, "which", unix.O_PATH, 0)
		check(t, err)
		part, err := clone(whole, at)
		check(t, errors.Join(err, at.Close(), whole.Close()))
		if _, err := os.ReadFile("/proc/self/fd/" + strconv.Itoa(int(part.Fd()))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		check(t, part.Close())
	}
	if after := mountCount(t); after != before {
		t.Errorf("mounts: %d before, %d after", before, after)
	}
}
