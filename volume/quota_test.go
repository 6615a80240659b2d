package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/quota"
)

// counted are quotas of a file system that does what it is told: by number, the
// limit and the directories.
type counted struct {
	limits map[uint32]int64
	dirs   map[uint32][]string
	err    error
}

func (c *counted) Make(path string, bytes int64) (uint32, error) {
	if c.err != nil {
		return 0, c.err
	}
	id := uint32(1)
	for c.limits[id] > 0 {
		id++
	}
	return id, c.Keep(path, id, bytes)
}

func (c *counted) Keep(path string, id uint32, bytes int64) error {
	if c.err != nil {
		return c.err
	}
	if c.limits[id] > 0 {
		return os.ErrExist
	}
	c.limits[id] = bytes
	return c.Join(path, id)
}

func (c *counted) Join(path string, id uint32) error {
	c.dirs[id] = append(c.dirs[id], path)
	return nil
}

func (c *counted) Limit(_ string, id uint32, bytes int64) error { c.limits[id] = bytes; return nil }
func (c *counted) Used(string, uint32) (int64, error)           { return 7, nil }
func (c *counted) Drop(_ string, id uint32) error               { delete(c.limits, id); return nil }

func withQuotas(t *testing.T, root string) (*Store, *counted) {
	t.Helper()
	c := &counted{limits: map[uint32]int64{}, dirs: map[uint32][]string{}}
	s, err := Open(root, nil, nil, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestSizeIsLimited(t *testing.T) {
	root := t.TempDir()
	s, c := withQuotas(t, root)
	v := create(t, s, CreateOptions{Name: "small", Options: map[string]string{"size": "1m"}})
	create(t, s, CreateOptions{Name: "free"})
	create(t, s, CreateOptions{Name: "other", Options: map[string]string{"size": "2M"}})
	if c.limits[1] != 1<<20 || c.limits[2] != 2<<20 || len(c.limits) != 2 || v.Project != 1 {
		t.Fatalf("%v, %+v", c.limits, v)
	}
	if d, err := s.Describe(t.Context(), "small"); err != nil || d.Status["Limit"] != int64(1<<20) || d.Status["Used"] != int64(7) {
		t.Errorf("%v, %v", d.Status, err)
	}
	if d, err := s.Describe(t.Context(), "free"); err != nil || d.Status != nil {
		t.Errorf("%v, %v", d.Status, err)
	}
	usage, err := s.DiskUsage(t.Context())
	if err != nil || len(usage) != 3 || usage[2].Status["Limit"] != int64(1<<20) || usage[2].Size != 0 {
		t.Errorf("%+v, %v", usage, err)
	}
	// After a restart, they have their numbers again, and their limits.
	s, c = withQuotas(t, root)
	if c.limits[1] != 1<<20 || c.limits[2] != 2<<20 || c.dirs[1][0] != v.Path {
		t.Fatalf("%v, %v", c.limits, c.dirs)
	}
	if err := s.Remove(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	if create(t, s, CreateOptions{Name: "next", Options: map[string]string{"size": "3m"}}).Project != 1 {
		t.Errorf("the number of a volume that is gone was not given back: %v", c.limits)
	}
}

// What a restore brings counts like what was there, and may fill the volume.
func TestRestoreOfALimitedVolume(t *testing.T) {
	s, c := withQuotas(t, t.TempDir())
	v := create(t, s, CreateOptions{Name: "small", Options: map[string]string{"size": "1m"}})
	write(t, v, "f", "old")
	if _, err := s.Snapshot(t.Context(), "small", "one"); err != nil {
		t.Fatal(err)
	}
	write(t, v, "f", "new")
	if err := s.Restore(t.Context(), "small", "one"); err != nil || read(t, v, "f") != "old" {
		t.Fatalf("%s, %v", read(t, v, "f"), err)
	}
	if len(c.dirs[1]) != 2 || !strings.Contains(c.dirs[1][1], filepath.Join(halfMade+"restore", dataDir)) || c.limits[1] != 1<<20 {
		t.Errorf("%v, %v", c.dirs, c.limits)
	}
}

func TestSizeIsRefused(t *testing.T) {
	s, c := withQuotas(t, t.TempDir())
	c.err = &quota.UnsupportedError{Path: "/x", FileSystem: "ext4"}
	for _, s := range []*Store{s, open(t)} {
		_, err := s.Create(t.Context(), CreateOptions{Name: "small", Options: map[string]string{"size": "1m"}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "quota size requested but no quota support") {
			t.Error(err)
		}
		if left, err := os.ReadDir(s.root); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
	}
	c.err = errors.New("broken")
	if _, err := s.Create(t.Context(), CreateOptions{Name: "small", Options: map[string]string{"size": "1m"}}); !errors.Is(err, c.err) {
		t.Error(err)
	}
}

// A number that two records claim is the first's: the second must not be counted
// as the first, nor give its number back.
func TestNumbersAreNotTrusted(t *testing.T) {
	root := t.TempDir()
	s, _ := withQuotas(t, root)
	create(t, s, CreateOptions{Name: "aa", Options: map[string]string{"size": "1m"}})
	b := create(t, s, CreateOptions{Name: "bb", Options: map[string]string{"size": "2m"}})
	b.Project = 1
	if err := b.save(s.dir("bb")); err != nil {
		t.Fatal(err)
	}
	s, c := withQuotas(t, root)
	if got, err := s.Get("bb"); err != nil || got.Project != 0 || len(c.dirs[1]) != 1 {
		t.Errorf("%+v, %v, %v", got, err, c.dirs)
	}
	if err := s.Remove(t.Context(), "bb"); err != nil || c.limits[1] != 1<<20 {
		t.Errorf("%v, %v", c.limits, err)
	}
}
