package image

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/oci"
)

func spell(list []imagetypes.DeleteResponse) string {
	var words []string
	for _, d := range list {
		if d.Deleted != "" {
			words = append(words, "deleted "+d.Deleted)
		} else {
			words = append(words, "untagged "+d.Untagged)
		}
	}
	return strings.Join(words, ", ")
}

func pulled(t *testing.T, tags ...string) (*Store, *event.Bus, string, digest.Digest) {
	t.Helper()
	reg := newRegistry(t)
	id := reg.put("img:1", twoLayers(t, "a"))
	s, bus := openStore(t, t.TempDir())
	ref := reg.host() + "/img:1"
	mustPull(t, s, ref)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		if err := s.Tag(t.Context(), ref, tag); err != nil {
			t.Fatal(err)
		}
	}
	return s, bus, ref, id
}

func TestRemoveNames(t *testing.T) {
	s, bus, ref, id := pulled(t, "mine:1", "mine:2")
	steps := []struct {
		ref, want string
		force     bool
		err       string
	}{
		{ref: "nosuch", err: "No such image: nosuch:latest"},
		{ref: id.Encoded()[:8], err: "conflict: unable to delete " + id.Encoded()[:12] + " (must be forced) - image is referenced in multiple repositories"},
		{ref: "mine:2", want: "untagged mine:2"},
		{ref: ref, want: "untagged " + ref},
		{ref: "mine:1", want: "untagged mine:1, deleted " + id.String()},
		{ref: "mine:1", err: "No such image: mine:1"},
	}
	for _, c := range steps {
		got, err := s.Remove(t.Context(), c.ref, c.force, true)
		if err == nil && c.err != "" || err != nil && err.Error() != c.err || spell(got) != c.want {
			t.Errorf("remove %s: %s, %v", c.ref, spell(got), err)
		}
	}
	wantEmpty(t, s)
	want := []string{
		"tag " + id.String() + " mine:1", "tag " + id.String() + " mine:2",
		"untag " + id.String() + " mine:2", "untag " + id.String() + " " + ref, "untag " + id.String() + " mine:1",
		"delete " + id.String() + " " + id.String(),
	}
	if got := happened(t, bus)[1:]; !slices.Equal(got, want) {
		t.Errorf("events:\n%s", strings.Join(got, "\n"))
	}
}

func TestRemoveByIDForced(t *testing.T) {
	s, _, ref, id := pulled(t, "mine:1")
	got, err := s.Remove(t.Context(), id.String(), true, true)
	want := "untagged " + ref + ", untagged mine:1, deleted " + id.String()
	if err != nil || spell(got) != want {
		t.Errorf("%s, %v\nwant %s", spell(got), err, want)
	}
	wantEmpty(t, s)
}

func TestRemoveDigestReference(t *testing.T) {
	s, _, ref, id := pulled(t)
	repo, _, _ := strings.Cut(strings.TrimPrefix(ref, "127.0.0.1:"), ":")
	repo = "127.0.0.1:" + repo
	mustPull(t, s, repo+"@"+id.String())
	list, err := s.List(t.Context(), ListOptions{})
	if err != nil || len(list) != 1 || !slices.Equal(list[0].RepoTags, []string{ref}) || !slices.Equal(list[0].RepoDigests, []string{repo + "@" + id.String()}) {
		t.Errorf("%s %v", toJSON(t, list), err)
	}
	got, err := s.Remove(t.Context(), ref, false, true)
	if err != nil || !strings.Contains(spell(got), "deleted "+id.String()) {
		t.Errorf("%s, %v", spell(got), err)
	}
	wantEmpty(t, s)
}

func TestRemoveInUse(t *testing.T) {
	s, _, ref, id := pulled(t)
	img, err := s.Resolve(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	running := true
	release := s.Hold(img, Holder{ContainerID: strings.Repeat("c", 64), Running: func() bool { return running }})
	root, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	short, c := oci.ShortID(id), strings.Repeat("c", 12)
	fails := func(ref string, force bool, want string) {
		t.Helper()
		if _, err := s.Remove(t.Context(), ref, force, true); err == nil || err.Error() != want || !errdefs.IsConflict(err) {
			t.Errorf("remove %s force=%v: %v\nwant %s", ref, force, err, want)
		}
	}
	fails(ref, false, "conflict: unable to delete "+ref+" (must be forced) - container "+c+" is using its referenced image "+short)
	fails(id.String(), true, "conflict: unable to delete "+short+" (cannot be forced) - image is being used by running container "+c)
	if n := s.Containers(id); n != 1 {
		t.Errorf("%d containers", n)
	}
	got, err := s.Remove(t.Context(), ref, true, true)
	if err != nil || spell(got) != "untagged "+ref {
		t.Errorf("forced: %s, %v", spell(got), err)
	}
	if _, err := s.Resolve(t.Context(), id.String(), nil); err != nil {
		t.Errorf("the image is to stay without a name: %v", err)
	}
	running = false
	fails(id.String(), false, "conflict: unable to delete "+short+" (must be forced) - image is being used by stopped container "+c)
	got, err = s.Remove(t.Context(), id.String(), true, true)
	if err != nil || spell(got) != "deleted "+id.String() {
		t.Errorf("forced by ID: %s, %v", spell(got), err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readLower(t, root.Lower, "top"); got != "ta" {
		t.Errorf("the file system in use has lost its file: %q", got)
	}
	root.Release()
	root.Release()
	// The container can start again without its image.
	again, err := s.Rootfs(t.Context(), &Image{ID: img.ID, ChainID: img.ChainID})
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
	release()
	s.work.Wait()
	wantEmpty(t, s)
}

// TestRestart: names, file systems and the lease of a container without image
// are found again.
func TestRestart(t *testing.T) {
	reg := newRegistry(t)
	id := reg.put("img:1", twoLayers(t, "a"))
	other := reg.put("img:2", twoLayers(t, "b"))
	root := t.TempDir()
	s, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	ref := reg.host() + "/img:1"
	mustPull(t, s, ref)
	mustPull(t, s, reg.host()+"/img:2")
	gone, err := s.Resolve(t.Context(), other.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Hold(gone, Holder{ContainerID: "x"})
	if _, err := s.Remove(t.Context(), other.String(), true, true); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Root: root}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a second store on the directory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rootfs(t.Context(), gone); !errdefs.IsUnavailable(err) {
		t.Errorf("closed store: %v", err)
	}

	s, _ = openStore(t, root)
	img, err := s.Resolve(t.Context(), ref, nil)
	if err != nil || img.ID != id {
		t.Fatalf("%v %v", img, err)
	}
	release := s.Hold(&Image{ID: gone.ID, ChainID: gone.ChainID}, Holder{ContainerID: "x"})
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	fs, err := s.Rootfs(t.Context(), &Image{ChainID: gone.ChainID})
	if err != nil {
		t.Fatal(err)
	}
	if got := readLower(t, fs.Lower, "top"); got != "tb" {
		t.Errorf("top is %q", got)
	}
	fs.Release()
	release()
	if _, err := s.Remove(t.Context(), ref, false, true); err != nil {
		t.Fatal(err)
	}
	s.work.Wait()
	wantEmpty(t, s)
}
