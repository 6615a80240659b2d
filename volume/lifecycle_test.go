package volume

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func create(t *testing.T, s *Store, o CreateOptions) Volume {
	t.Helper()
	v, err := s.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, v Volume, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(v.Path, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, v Volume, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.Path, name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// reopen is a restart of the daemon.
func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	again, err := Open(s.root, nil, nil, nil, s.quotas)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// The layout of version 1 is found again, and gets IDs that stay.
func TestVersion1(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"data":  `{"Name":"data","Driver":"local","Labels":{"a":"b"},"CreatedAt":"2026-01-02T03:04:05Z"}`,
		"0123":  `{"Name":"0123","Driver":"local","CreatedAt":"2026-01-02T03:04:05Z","Anonymous":true}`,
		"newer": `{"Version":99,"Name":"newer","Driver":"local"}`,
	} {
		if err := os.MkdirAll(filepath.Join(root, name, dataDir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name, optsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(root, nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Get("data")
	if err != nil || len(v.ID) != 64 || v.Labels["a"] != "b" || v.CreatedAt.Year() != 2026 || v.Path != filepath.Join(root, "data/_data") {
		t.Fatalf("%+v, %v", v, err)
	}
	if again, err := reopen(t, s).Get("data"); err != nil || again.ID != v.ID {
		t.Errorf("%+v, %v", again, err)
	}
	anonymous, err := s.Get("0123")
	if _, ok := anonymous.Labels[AnonymousLabel]; err != nil || !ok {
		t.Errorf("%+v, %v", anonymous, err)
	}
	if _, err := s.Get("newer"); !errdefs.IsNotFound(err) {
		t.Errorf("a record of a newer version: %v", err)
	}
	if _, err := s.Create(t.Context(), CreateOptions{Name: "newer"}); err == nil {
		t.Error("a volume of a newer version was replaced")
	}
}

func TestRename(t *testing.T) {
	s := open(t)
	v := create(t, s, CreateOptions{Name: "old"})
	create(t, s, CreateOptions{Name: "other"})
	write(t, v, "f", "1")
	release, err := s.Use(v.ID, "old", "c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rename("old", "other"); !errdefs.IsConflict(err) {
		t.Errorf("to a name that is taken: %v", err)
	}
	if _, err := s.Rename("none", "x1"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	moved, err := s.Rename("old", "new")
	if err != nil || moved.ID != v.ID || read(t, moved, "f") != "1" {
		t.Fatalf("%+v, %v", moved, err)
	}
	if got, err := s.Resolve(v.ID, "old"); err != nil || got.Name != "new" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Remove(t.Context(), "new"); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "[c1]") {
		t.Errorf("its user does not count any more: %v", err)
	}
	release()
	if got, err := reopen(t, s).Resolve(v.ID, "old"); err != nil || got.Name != "new" {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	// A name that somebody gives to an anonymous volume is there to stay.
	a := create(t, s, CreateOptions{})
	if _, err := s.Rename(a.Name, "kept"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Prune(t.Context(), Filters{}); err != nil || len(r.VolumesDeleted) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPruneAndList(t *testing.T) {
	s := open(t)
	named := create(t, s, CreateOptions{Name: "named", Labels: map[string]string{"k": "v"}})
	anonymous := create(t, s, CreateOptions{})
	used := create(t, s, CreateOptions{})
	write(t, anonymous, "f", "12345")
	if _, err := s.Use(used.ID, used.Name, "c1"); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]Filters{
		"named":        {"label": {"k": true}},
		"named ":       {"label": {"k=v": true}},
		"":             {"label": {"k=w": true}},
		"named  ":      {"name": {"ame": true}, "driver": {"local": true}},
		used.Name:      {"dangling": {"false": true}},
		anonymous.Name: {"dangling": {"1": true}, "label!": {"k": true}},
	} {
		list, err := s.List(f)
		var names []string
		for _, v := range list {
			names = append(names, v.Name)
		}
		if got := strings.Join(names, ","); err != nil || got != strings.TrimSpace(want) {
			t.Errorf("%v: %q, %v", f, got, err)
		}
	}
	for _, f := range []Filters{{"nope": {"x": true}}, {"dangling": {"maybe": true}}, {"dangling": {"0": true, "1": true}}} {
		if _, err := s.List(f); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", f, err)
		}
	}
	r, err := s.Prune(t.Context(), Filters{})
	if err != nil || !slices.Equal(r.VolumesDeleted, []string{anonymous.Name}) || r.SpaceReclaimed != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = s.Prune(t.Context(), Filters{"all": {"true": true}, "label": {"k=v": true}})
	if err != nil || !slices.Equal(r.VolumesDeleted, []string{named.Name}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCopyAndSnapshots(t *testing.T) {
	s := open(t)
	v := create(t, s, CreateOptions{Name: "vol"})
	write(t, v, "f", "1")
	made, err := s.Copy(t.Context(), "vol", CreateOptions{Name: "copy", Labels: map[string]string{"a": "b"}})
	if err != nil || read(t, made, "f") != "1" || made.Labels["a"] != "b" || made.ID == v.ID {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := s.Copy(t.Context(), "vol", CreateOptions{Name: "copy"}); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	if _, err := s.Snapshot(t.Context(), "vol", "before"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(t.Context(), "vol", "before"); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	write(t, v, "f", "2")
	write(t, v, "g", "2")
	if _, err := s.Snapshot(t.Context(), "vol", ""); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Snapshots("vol"); err != nil || len(list) != 2 || list[0].Name != "before" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := s.Mount(t.Context(), v.ID, "vol", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), "vol", "before"); !errdefs.IsConflict(err) {
		t.Errorf("while it is in use: %v", err)
	}
	if _, err := s.Unmount(v.ID, "vol", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), "vol", "before"); err != nil {
		t.Fatal(err)
	}
	if f, g := read(t, v, "f"), read(t, v, "g"); f != "1" || !strings.Contains(g, "no such file") {
		t.Errorf("restored: %q, %q", f, g)
	}
	if err := s.Restore(t.Context(), "vol", "none"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if err := s.RemoveSnapshot("vol", "before"); err != nil {
		t.Error(err)
	}
	// Only what belongs there is left.
	entries, err := os.ReadDir(s.dir("vol"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := s.Remove(t.Context(), "vol"); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for text, o := range map[string]map[string]string{
		`invalid option: "x"`:               {"x": "y"},
		`missing required option: "device"`: {"type": "tmpfs"},
		`missing required option: "type"`:   {"device": "tmpfs"},
		`invalid size: 'big'`:               {"size": "big"},
		`a device has a limit of its own`:   {"size": "1m", "type": "tmpfs", "device": "tmpfs"},
	} {
		if err := checkOptions(o); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", o, err)
		}
	}
}

// A device is there while somebody runs, and its content survives the removal
// of the volume.
func TestDevices(t *testing.T) {
	s := open(t)
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bind := create(t, s, CreateOptions{Name: "bind", Options: map[string]string{"type": "none", "device": host, "o": "bind"}})
	tmp := create(t, s, CreateOptions{Name: "tmp", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"}})
	for _, v := range []Volume{bind, tmp} {
		for _, user := range []string{"c1", "c2"} {
			if _, err := s.Mount(t.Context(), v.ID, v.Name, user); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := read(t, bind, "precious"); got != "" {
		t.Errorf("bind: %s", got)
	}
	var st unix.Stat_t
	if err := unix.Stat(tmp.Path, &st); err != nil || st.Uid != 7 {
		t.Errorf("tmpfs: %+v, %v", st, err)
	}
	write(t, tmp, "f", "1")
	// One leaves, the daemon restarts, the other is told again.
	if _, err := s.Unmount(tmp.ID, "tmp", "c1"); err != nil {
		t.Error(err)
	}
	s = reopen(t, s)
	if _, err := s.Mount(t.Context(), tmp.ID, "tmp", "c2"); err != nil {
		t.Error(err)
	}
	s.Settle()
	if got := read(t, tmp, "f"); got != "1" {
		t.Errorf("tmpfs after a restart: %s", got)
	}
	if got := read(t, bind, "precious"); !strings.Contains(got, "no such file") {
		t.Errorf("bind after its users: %q", got)
	}
	if _, err := s.Rename("tmp", "tmp2"); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "tmp2"); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	v, err := s.Unmount(tmp.ID, "tmp", "c2")
	if err != nil || read(t, v, "f") == "1" {
		t.Errorf("tmpfs after its users: %v", err)
	}
	for _, name := range []string{"bind", "tmp2"} {
		if err := s.Remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(host, "precious")); err != nil {
		t.Error(err)
	}
	bad := create(t, s, CreateOptions{Name: "bad", Options: map[string]string{"type": "none", "device": "/none/such", "o": "bind"}})
	if _, err := s.Mount(t.Context(), bad.ID, "bad", "c1"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "failed to mount local volume") {
		t.Error(err)
	}
}

// A volume that is not complete is not there.
func TestFillFails(t *testing.T) {
	s := open(t)
	why := errors.New("why")
	if _, err := s.Fill(t.Context(), CreateOptions{Name: "half"}, func(*os.File) error { return why }); !errors.Is(err, why) {
		t.Error(err)
	}
	if _, err := s.Get("half"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.root); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
