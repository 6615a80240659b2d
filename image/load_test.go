package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

func save(t *testing.T, s *Store, only []ocispec.Platform, refs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(t.Context(), refs, only, func() io.Writer { return &b }); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(s *Store, t *testing.T, data []byte) (lines []string, err error) {
	err = s.Load(t.Context(), bytes.NewReader(data), LoadOptions{Progress: func(m jsonstream.Message) {
		if m.Stream != "" {
			lines = append(lines, m.Stream)
		}
	}})
	return lines, err
}

// tarFiles are the files of a stream by name.
func tarFiles(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSaveLoad: what one store saves another loads, with the same IDs, names and
// files; by the layout and by manifest.json alone, as old Dockers write it.
func TestSaveLoad(t *testing.T) {
	reg := newRegistry(t)
	one, two := reg.put("one:v1", twoLayers(t, "1")), reg.put("two:v1", twoLayers(t, "2"))
	s, _ := openStore(t, t.TempDir())
	for _, ref := range []string{"/one:v1", "/two:v1"} {
		mustPull(t, s, reg.host()+ref)
	}
	mustTag(t, s, reg.host()+"/one:v1", "local/one:a")
	mustTag(t, s, reg.host()+"/one:v1", "local/one:b")
	stream := save(t, s, nil, "local/one", two.String())
	if again := save(t, s, nil, "local/one", two.String()); !bytes.Equal(stream, again) {
		t.Error("the same images make different streams")
	}

	fresh, bus := openStore(t, t.TempDir())
	lines, err := load(fresh, t, stream)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Loaded image: local/one:a\n", "Loaded image: local/one:b\n", "Loaded image ID: " + two.String() + "\n"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
	for ref, id := range map[string]string{"local/one:a": one.String(), "local/one:b": one.String(), two.String(): two.String()} {
		img, err := fresh.Resolve(t.Context(), ref, nil)
		if err != nil || img.ID.String() != id {
			t.Fatalf("%s: %v, %v", ref, img, err)
		}
		root, err := fresh.Rootfs(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if have := readLower(t, root.Lower, "d/two"); have != "whiteout" {
			t.Errorf("%s: d/two is %s", ref, have)
		}
		root.Release()
	}
	if list := happened(t, bus); len(list) != 3 || !strings.HasPrefix(list[0], "load "+one.String()) {
		t.Errorf("%q", list)
	}

	files := tarFiles(t, stream)
	delete(files, "oci-layout")
	delete(files, "index.json")
	old, _ := openStore(t, t.TempDir())
	if lines, err = load(old, t, tarOf(t, files)); err != nil || len(lines) != 3 || lines[0] != "Loaded image: local/one:a\n" {
		t.Errorf("manifest.json alone: %q, %v", lines, err)
	}
	if _, err := old.Resolve(t.Context(), "local/one:b", nil); err != nil {
		t.Error(err)
	}
}

// TestLoadCompressed: a stream may be compressed, as a file that somebody has packed
// is; a damaged one leaves nothing.
func TestLoadCompressed(t *testing.T) {
	reg := newRegistry(t)
	reg.put("app:v1", twoLayers(t, "m"))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, reg.host()+"/app:v1")
	stream := save(t, s, nil, reg.host()+"/app:v1")
	for _, program := range []string{"gzip", "bzip2", "xz", "zstd"} {
		cmd := exec.CommandContext(t.Context(), program, "-c")
		cmd.Stdin = bytes.NewReader(stream)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		fresh, _ := openStore(t, t.TempDir())
		if _, err := load(fresh, t, packed[:len(packed)/2]); !errdefs.IsInvalidArgument(err) {
			t.Errorf("half of %s: %v", program, err)
		}
		if list := leftovers(t, fresh); len(list) > 0 {
			t.Errorf("half of %s left in the store:\n%s", program, strings.Join(list, "\n"))
		}
		if lines, err := load(fresh, t, packed); err != nil || len(lines) != 1 || lines[0] != "Loaded image: "+reg.host()+"/app:v1\n" {
			t.Errorf("%s: %q, %v", program, lines, err)
		}
	}
}

// TestSaveLoadPlatforms: an image for several platforms keeps them, as far as
// they are here; one can be had alone.
func TestSaveLoadPlatforms(t *testing.T) {
	reg := newRegistry(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	index, err := oci.NewIndex(twoLayers(t, "amd"), newImage(t, arm, ocispec.ImageConfig{Cmd: []string{"/arm"}}, newLayer(t, oci.Gzip, file("arm", "x"))))
	if err != nil {
		t.Fatal(err)
	}
	id := reg.put("app:v1", index)
	ref := reg.host() + "/app:v1"
	s, _ := openStore(t, t.TempDir())
	if err := s.Pull(t.Context(), ref, PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	onlyArm := save(t, s, nil, ref)
	mustPull(t, s, ref)
	whole := save(t, s, nil, ref)
	single := save(t, s, []ocispec.Platform{arm}, ref)
	if err := s.Save(t.Context(), []string{ref}, []ocispec.Platform{{OS: "linux", Architecture: "s390x"}}, nil); !errdefs.IsNotFound(err) {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]struct {
		data       []byte
		sameID     bool
		amd64, arm bool
		onlyOnLoad []ocispec.Platform
	}{
		"whole":      {data: whole, sameID: true, amd64: true, arm: true},
		"part":       {data: onlyArm, sameID: true, arm: true},
		"one saved":  {data: single, arm: true},
		"one loaded": {data: whole, arm: true, onlyOnLoad: []ocispec.Platform{arm}},
	} {
		fresh, _ := openStore(t, t.TempDir())
		if err := fresh.Load(t.Context(), bytes.NewReader(c.data), LoadOptions{Platforms: c.onlyOnLoad}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for p, want := range map[*ocispec.Platform]bool{&amd64: c.amd64, &arm: c.arm} {
			img, err := fresh.Resolve(t.Context(), ref, p)
			if want != (err == nil) {
				t.Errorf("%s, %s: %v", name, p.Architecture, err)
			}
			if err == nil && (img.ID == id) != c.sameID {
				t.Errorf("%s: ID %s", name, img.ID)
			}
			if err == nil {
				root, err := fresh.Rootfs(t.Context(), img)
				if err != nil {
					t.Errorf("%s, %s: %v", name, p.Architecture, err)
					continue
				}
				root.Release()
			}
		}
	}
}

// TestLoadBadStreams: a stream that is broken or lies is refused, and leaves
// nothing.
func TestLoadBadStreams(t *testing.T) {
	reg := newRegistry(t)
	img := twoLayers(t, "m")
	reg.put("app:v1", img)
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, reg.host()+"/app:v1")
	good := save(t, s, nil, reg.host()+"/app:v1")
	edit := func(f func(map[string][]byte)) []byte {
		files := tarFiles(t, good)
		f(files)
		return tarOf(t, files)
	}
	index := func(f func(*ocispec.Index)) []byte {
		return edit(func(files map[string][]byte) {
			var i ocispec.Index
			if err := json.Unmarshal(files["index.json"], &i); err != nil {
				t.Fatal(err)
			}
			f(&i)
			files["index.json"] = []byte(toJSON(t, i))
		})
	}
	layer := "blobs/sha256/" + img.Blobs[len(img.Blobs)-1].Descriptor.Digest.Encoded()
	for name, c := range map[string]struct {
		data []byte
		want func(error) bool
	}{
		"no tar":        {[]byte("hello"), errdefs.IsInvalidArgument},
		"empty":         {nil, errdefs.IsInvalidArgument},
		"cut":           {good[:len(good)/2], errdefs.IsInvalidArgument},
		"no index":      {edit(func(f map[string][]byte) { delete(f, "index.json") }), errdefs.IsInvalidArgument},
		"index no JSON": {edit(func(f map[string][]byte) { f["index.json"] = []byte("{") }), errdefs.IsInvalidArgument},
		"no images":     {index(func(i *ocispec.Index) { i.Manifests = nil }), errdefs.IsInvalidArgument},
		"no layer":      {edit(func(f map[string][]byte) { delete(f, layer) }), errdefs.IsNotFound},
		"other layer":   {edit(func(f map[string][]byte) { f[layer] = []byte("x") }), errdefs.IsNotFound},
		"bad name": {index(func(i *ocispec.Index) {
			i.Manifests[0].Annotations = map[string]string{"io.containerd.image.name": "UPPER"}
		}), errdefs.IsInvalidArgument},
		"bad name of old": {edit(func(f map[string][]byte) {
			delete(f, "index.json")
			delete(f, "oci-layout")
			f["manifest.json"] = bytes.ReplaceAll(f["manifest.json"], []byte("/app:v1"), []byte("/APP:v1"))
		}), errdefs.IsInvalidArgument},
		"other layers of old": {edit(func(f map[string][]byte) {
			delete(f, "index.json")
			delete(f, "oci-layout")
			var list []struct{ Layers []string }
			if err := json.Unmarshal(f["manifest.json"], &list); err != nil || len(list) != 1 || len(list[0].Layers) < 2 {
				t.Fatalf("%s: %v", f["manifest.json"], err)
			}
			f[list[0].Layers[0]] = f[list[0].Layers[1]]
		}), errdefs.IsInvalidArgument},
		"bad size":   {index(func(i *ocispec.Index) { i.Manifests[0].Size++ }), errdefs.IsInvalidArgument},
		"huge":       {index(func(i *ocispec.Index) { i.Manifests[0].Size = 1 << 40 }), errdefs.IsInvalidArgument},
		"bad type":   {index(func(i *ocispec.Index) { i.Manifests[0].MediaType = "text/plain" }), errdefs.IsInvalidArgument},
		"bad digest": {index(func(i *ocispec.Index) { i.Manifests[0].Digest = "sha256:../../x" }), errdefs.IsInvalidArgument},
	} {
		fresh, _ := openStore(t, t.TempDir())
		if _, err := load(fresh, t, c.data); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if list := leftovers(t, fresh); len(list) > 0 {
			t.Errorf("%s left in the store:\n%s", name, strings.Join(list, "\n"))
		}
	}
}
