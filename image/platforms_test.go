package image

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

var (
	arm64 = ocispec.Platform{OS: "linux", Architecture: "arm64"}
	s390x = ocispec.Platform{OS: "linux", Architecture: "s390x"}
)

// threePlatforms is an index whose parts share no layer.
func threePlatforms(t *testing.T) oci.Image {
	t.Helper()
	var list []oci.Image
	for _, p := range []ocispec.Platform{amd64, arm64, s390x} {
		list = append(list, newImage(t, p, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("arch", p.Architecture+string(randomBytes(5000))))))
	}
	index, err := oci.NewIndex(list...)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// here lists the architectures of an image that are here.
func here(t *testing.T, s *Store, ref string) (list []string) {
	t.Helper()
	for _, p := range []ocispec.Platform{amd64, arm64, s390x} {
		if _, err := s.Resolve(t.Context(), ref, &p); err == nil {
			list = append(list, p.Architecture)
		} else if !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}
	return list
}

func pullAll3(t *testing.T, s *Store, ref string) {
	t.Helper()
	for _, p := range []ocispec.Platform{amd64, arm64, s390x} {
		if err := s.Pull(t.Context(), ref, PullOptions{Platform: &p}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemovePlatforms: what is removed for a platform is gone from the disk, the
// rest stays, and a pull brings it back.
func TestRemovePlatforms(t *testing.T) {
	reg := newRegistry(t)
	id := reg.put("app:v1", threePlatforms(t))
	ref := reg.host() + "/app:v1"
	s, _ := openStore(t, t.TempDir())
	pullAll3(t, s, ref)
	before := len(leftovers(t, s))

	if _, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{{OS: "linux", Architecture: "riscv64"}}, false, false); !errdefs.IsNotFound(err) {
		t.Errorf("a platform that is not there: %v", err)
	}
	img, err := s.Resolve(t.Context(), ref, &arm64)
	if err != nil {
		t.Fatal(err)
	}
	dry, free, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{arm64}, false, true)
	if err != nil || len(dry) != 1 || dry[0].Deleted != img.Manifest.Digest.String() || free < 10000 {
		t.Errorf("dry: %v %d %v", dry, free, err)
	}
	if len(here(t, s, ref)) != 3 {
		t.Error("a dry run removed something")
	}
	running := true
	release := s.Hold(img, Holder{ContainerID: "c0ffee", Running: func() bool { return running }})
	if _, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{arm64}, true, false); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "running container c0ffee") {
		t.Errorf("used by a running container: %v", err)
	}
	running = false
	if _, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{arm64}, false, false); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "stopped container c0ffee") {
		t.Errorf("used by a stopped container: %v", err)
	}
	if _, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{s390x}, false, false); err != nil {
		t.Errorf("another platform than the container's: %v", err)
	}
	if got := here(t, s, ref); !slices.Equal(got, []string{"amd64", "arm64"}) {
		t.Errorf("left: %v", got)
	}
	root, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{arm64}, true, false); err != nil {
		t.Fatal(err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if readLower(t, root.Lower, "arch") == "absent" {
		t.Error("the container's file system is gone")
	}
	root.Release()
	release()
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := leftovers(t, s)
	// Each platform has a manifest, a config, a layer, a snapshot, and their files and lease.
	if got := here(t, s, ref); !slices.Equal(got, []string{"amd64"}) || (before-len(left))%2 != 0 || before-len(left) < 16 {
		t.Errorf("left: %v; of %d things %d:\n%s", got, before, len(left), strings.Join(left, "\n"))
	}
	if again, err := s.Resolve(t.Context(), ref, nil); err != nil || again.ID != id {
		t.Errorf("%v %v", again, err)
	}
	pullAll3(t, s, ref)
	if got := here(t, s, ref); len(got) != 3 {
		t.Errorf("after a pull: %v", got)
	}
	gone, _, err := s.RemovePlatforms(t.Context(), ref, []ocispec.Platform{amd64, arm64, s390x}, false, false)
	if err != nil || len(gone) != 2 || gone[0].Untagged != ref || gone[1].Deleted != id.String() {
		t.Errorf("all: %v %v", gone, err)
	}
	wantEmpty(t, s)
}

// TestRemoveSharedPlatform: what another image has, too, stays there.
func TestRemoveSharedPlatform(t *testing.T) {
	reg := newRegistry(t)
	a, b, c := twoLayers(t, "a"), newImage(t, arm64, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("b", "b"))), newImage(t, s390x, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("c", "c")))
	first, err := oci.NewIndex(a, b)
	if err != nil {
		t.Fatal(err)
	}
	second, err := oci.NewIndex(a, c)
	if err != nil {
		t.Fatal(err)
	}
	reg.put("first:1", first)
	reg.put("second:1", second)
	s, _ := openStore(t, t.TempDir())
	for _, name := range []string{"first:1", "second:1"} {
		mustPull(t, s, reg.host()+"/"+name)
	}
	if err := s.Pull(t.Context(), reg.host()+"/first:1", PullOptions{Platform: &arm64}); err != nil {
		t.Fatal(err)
	}
	if _, free, err := s.RemovePlatforms(t.Context(), reg.host()+"/first:1", []ocispec.Platform{amd64}, false, false); err != nil || free != 0 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := s.Remove(t.Context(), reg.host()+"/first:1", false, true); err != nil {
		t.Fatal(err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve(t.Context(), reg.host()+"/second:1", &amd64)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Rootfs(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if got := readLower(t, root.Lower, "top"); got != "ta" {
		t.Errorf("the other image has %q", got)
	}
	root.Release()
}

// TestSeveralPlatforms: two of three are saved, loaded and pushed.
func TestSeveralPlatforms(t *testing.T) {
	reg := newRegistry(t)
	id := reg.put("app:v1", threePlatforms(t))
	ref := reg.host() + "/app:v1"
	s, _ := openStore(t, t.TempDir())
	pullAll3(t, s, ref)
	two := []ocispec.Platform{amd64, s390x}
	whole, part := save(t, s, nil, ref), save(t, s, two, ref)
	if len(part) >= len(whole) {
		t.Errorf("two platforms have %d bytes, three %d", len(part), len(whole))
	}
	for name, c := range map[string]struct {
		data []byte
		only []ocispec.Platform
	}{"saved": {part, nil}, "loaded": {whole, two}, "both": {part, two}} {
		fresh, _ := openStore(t, t.TempDir())
		if err := fresh.Load(t.Context(), bytes.NewReader(c.data), LoadOptions{Platforms: c.only}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := fresh.db.CollectNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := here(t, fresh, ref); !slices.Equal(got, []string{"amd64", "s390x"}) {
			t.Errorf("%s: %v", name, got)
		}
		if img, err := fresh.Resolve(t.Context(), ref, nil); err != nil || img.ID != id {
			t.Errorf("%s: %v %v", name, img, err)
		}
		if err := fresh.Load(t.Context(), bytes.NewReader(part), LoadOptions{Platforms: []ocispec.Platform{amd64, arm64}}); !errdefs.IsNotFound(err) {
			t.Errorf("%s: a platform that the stream lacks: %v", name, err)
		}
	}
	if err := s.Save(t.Context(), []string{ref}, []ocispec.Platform{amd64, {OS: "linux", Architecture: "riscv64"}}, nil); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}

	host := strings.TrimPrefix(newDistribution(t, nil).URL, "http://")
	if err := s.Tag(t.Context(), ref, host+"/app:two"); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), host+"/app:two", PushOptions{Platforms: two}); err != nil {
		t.Fatal(err)
	}
	remote, err := s.InspectRemote(t.Context(), host+"/app:two", nil)
	if err != nil || len(remote.Platforms) != 2 || remote.Platforms[0].Architecture != "amd64" || remote.Platforms[1].Architecture != "s390x" {
		t.Errorf("%+v %v", remote, err)
	}
	if remote.Descriptor.Digest == id || remote.Descriptor.Digest == digest.Digest("") {
		t.Errorf("pushed %s", remote.Descriptor.Digest)
	}
	if err := s.Push(t.Context(), host+"/app:two", PushOptions{Platforms: []ocispec.Platform{amd64, {OS: "linux", Architecture: "riscv64"}}}); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
}
