package volume

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// occupy puts a link to target in the place of every directory that appears in
// dir, as a container could that has the volume already.
func occupy(dir, target string, stop <-chan struct{}) {
	link := filepath.Join(dir, "link")
	for n := 0; ; n = (n + 1) % dirs {
		select {
		case <-stop:
			return
		default:
		}
		name := filepath.Join(dir, strconv.Itoa(n))
		if unix.Access(name, unix.F_OK) != nil {
			continue
		}
		_ = os.Symlink(target, link) // it may be there
		_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
		_ = os.RemoveAll(link)
	}
}

const dirs = 8

// Filling a volume writes nothing outside of it while a neighbour exchanges
// the directories in it for links (as CVE-2021-30465 did with mounts).
func TestAttackFill(t *testing.T) {
	image := t.TempDir()
	for n := range dirs {
		dir := filepath.Join(image, strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		// They take their time, in which the directory is exchanged.
		for name, size := range map[string]int{"a": 8 << 20, "enemy": 8 << 20} {
			if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	from, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range 5 {
		host, dir := t.TempDir(), t.TempDir()
		for _, name := range []string{"a", "enemy"} {
			if err := os.WriteFile(filepath.Join(host, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			occupy(dir, host, stop)
		}()
		_ = CopyUp(t.Context(), Volume{Name: "v", Path: dir}, from) // it may fail, but not go astray
		close(stop)
		<-done
		for _, name := range []string{"a", "enemy"} {
			info, err := os.Stat(filepath.Join(host, name))
			if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 0 {
				t.Fatalf("the host's file is %v, %v", info, err)
			}
		}
	}
}
