package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRecordV1 holds the layout of docs/contracts/record.md: what version 1
// wrote is read, and written again as it was.
func TestRecordV1(t *testing.T) {
	file := filepath.Join("testdata", "record-v1.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, b) {
		t.Errorf("version 1 changed; a change needs a new version and a decision record:\n%s", got)
	}
	short, err := encodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := decodeRecord(short); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%s is read as %+v, %v", short, again, err)
	}
	for _, bad := range []string{"", "{}", `{"Version":2}`, strings.Replace(string(b), r.ID, "short", 1)} {
		if _, err := decodeRecord([]byte(bad)); err == nil {
			t.Errorf("read %.40q", bad)
		}
	}
}

func testRecord(id string) *Record {
	return &Record{Version: 1, ID: strings.Repeat(id, 64), Name: "n" + id, State: Created, Config: &container.Config{}, HostConfig: &container.HostConfig{}}
}

// TestDamagedRecord: after a power loss an earlier program's record.json may be empty;
// its first version is still there.
func TestDamagedRecord(t *testing.T) {
	rs := records{root: t.TempDir()}
	r := testRecord("a")
	if err := os.Mkdir(rs.dir(r.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rs.load(r.ID, loggedState{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half made: %v", err)
	}
	if err := rs.create(r, true); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(rs.dir(r.ID), recordFile), filepath.Join(rs.dir(r.ID), firstFile)); err != nil {
		t.Fatal(err)
	}
	next := *r
	next.State = Exited
	if err := rs.replace(&next); err != nil {
		t.Fatal(err)
	}
	if got, _, err := rs.load(r.ID, loggedState{}); err != nil || got.State != Exited {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.Truncate(filepath.Join(rs.dir(r.ID), recordFile), 0); err != nil {
		t.Fatal(err)
	}
	if got, _, err := rs.load(r.ID, loggedState{}); err != nil || got.State != Created {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestFullDisk: what is there can change and go when there is no room left.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	rs := records{root: root}
	if err := rs.open(); err != nil {
		t.Fatal(err)
	}
	r := testRecord("a")
	if err := os.Mkdir(rs.dir(r.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := rs.create(r, true); err != nil {
		t.Fatal(err)
	}
	// As of an earlier program: the room of the first version is not given back.
	if err := os.Link(filepath.Join(rs.dir(r.ID), recordFile), filepath.Join(rs.dir(r.ID), firstFile)); err != nil {
		t.Fatal(err)
	}
	fill := func() {
		f, err := os.OpenFile(filepath.Join(rs.dir(r.ID), "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	fill()
	next := *r
	for i := range uint64(6) {
		next.Run = i
		next.State = Exited
		if err := rs.replace(&next); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		fill() // takes what the spare gave back
	}
	if got, _, err := rs.load(r.ID, loggedState{}); err != nil || got.State != Exited || got.Run != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.Mkdir(rs.dir(strings.Repeat("b", 64)), 0o700); err == nil {
		if err := rs.create(testRecord("b"), false); !isFull(err) {
			t.Errorf("create on a full disk: %v", err)
		}
	}
	if err := rs.remove(r.ID, false, func() {}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadDir(filepath.Join(root, spareDir)); err != nil || len(have) != spareCount {
		t.Errorf("%d spares, %v", len(have), err)
	}
}

// TestRemoveInTheBackground: a removed container is gone at once, its files soon,
// and who comes when many are being deleted waits for his own.
func TestRemoveInTheBackground(t *testing.T) {
	rs := records{root: t.TempDir(), gone: newGone()}
	if err := rs.open(); err != nil {
		t.Fatal(err)
	}
	id, dir := strings.Repeat("a", 64), ""
	again := func() {
		dir = filepath.Join(rs.dir(id), upperDir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	lost := func(err error) { t.Error(err) }
	left := func() int {
		found, err := filepath.Glob(filepath.Join(rs.root, gonePrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	again()
	if err := rs.remove(id, false, func() {}, lost); err != nil {
		t.Fatal(err)
	}
	if ids, err := rs.ids(); err != nil || len(ids) != 0 {
		t.Errorf("removed, there are %q, %v", ids, err)
	}
	if rs.gone.wg.Wait(); left() != 0 {
		t.Error("its files stay")
	}
	again()
	ready := make(chan struct{})
	if err := rs.remove(id, false, func() { <-ready }, lost); err != nil || left() != 1 {
		t.Errorf("%v; %d directories while they are in use", err, left())
	}
	close(ready)
	if rs.gone.wg.Wait(); left() != 0 {
		t.Error("files that were in use stay")
	}
	for range goneAtOnce { // as if others were at it
		rs.gone.room <- struct{}{}
	}
	again()
	if err := rs.remove(id, false, func() {}, lost); err != nil || left() != 0 {
		t.Errorf("%v; %d directories are left behind who waited", err, left())
	}
}

// TestNamesAreOfRecords: a name is of one container, the one whose record has it, whatever
// links earlier programs left.
func TestNamesAreOfRecords(t *testing.T) {
	root := t.TempDir()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	if err := os.Mkdir(filepath.Join(root, namesDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../"+b, filepath.Join(root, namesDir, "nobodys")); err != nil {
		t.Fatal(err)
	}
	n, err := openNames(root, map[string]string{a: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(root, namesDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("links of an earlier program: %v", err)
	}
	if err := n.claim("kept", b); !errdefs.IsConflict(err) {
		t.Errorf("claim of a name that a record has: %v", err)
	}
	if err := n.claim("nobodys", b); err != nil {
		t.Error(err)
	}
	n.release("kept", b) // not its
	n.release("nobodys", b)
	for name, want := range map[string]string{"kept": a, "nobodys": ""} {
		if got, _ := n.lookup(name); got != want {
			t.Errorf("%s → %q, want %q", name, got, want)
		}
	}
}

func TestSyncerGroups(t *testing.T) {
	dir := t.TempDir()
	var s syncer
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if err := s.sync(dir, dir); err != nil {
				t.Error(err)
			}
			if err := s.sync(filepath.Join(dir, "absent"), dir); !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.busy || len(s.queue) > 0 {
		t.Error("the syncer did not come to rest")
	}
}

func TestCleanName(t *testing.T) {
	for _, bad := range []string{"", "/", "a", "-x", "a b", "a/b", "ä1", "a\nb", strings.Repeat("x", 256)} {
		if _, err := cleanName(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for try := range 8 {
		if _, err := cleanName(randomName(try)); err != nil {
			t.Error(err)
		}
	}
}
