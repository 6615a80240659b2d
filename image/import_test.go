package image

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestImport: a tar becomes the root file system of an image with the config
// that is given, plain or compressed.
func TestImport(t *testing.T) {
	s, bus := openStore(t, t.TempDir())
	plain := tarOf(t, map[string][]byte{"etc/os-release": []byte("ID=test\n"), "bin/x": []byte("x")})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	config := dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"/bin/x"}}}
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	for name, data := range map[string][]byte{"plain": plain, "gzip": packed.Bytes()} {
		o := ImportOptions{Name: "imported/" + name, Config: config, Comment: "from far"}
		if name == "gzip" {
			o.Platform = &arm
		}
		id, err := s.Import(t.Context(), bytes.NewReader(data), o)
		if err != nil {
			t.Fatal(err)
		}
		img, err := s.Resolve(t.Context(), "imported/"+name, nil)
		if err != nil || img.ID != id || img.Config.Config.Cmd[0] != "/bin/x" || (img.Platform.Architecture == "arm64") != (name == "gzip") {
			t.Fatalf("%s: %+v, %v", name, img, err)
		}
		root, err := s.Rootfs(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if have := readLower(t, root.Lower, "etc/os-release"); have != "ID=test\n" {
			t.Errorf("%s: %q", name, have)
		}
		root.Release()
		history, err := s.History(t.Context(), "imported/"+name, nil)
		if err != nil || len(history) != 1 || history[0].Comment != "from far" {
			t.Errorf("%+v, %v", history, err)
		}
	}
	if list := happened(t, bus); !strings.HasPrefix(list[len(list)-1], "import sha256:") {
		t.Errorf("%q", list)
	}
}

// TestImportBadStreams: what is no tar makes no image and leaves nothing.
func TestImportBadStreams(t *testing.T) {
	good := tarOf(t, map[string][]byte{"a": bytes.Repeat([]byte("a"), 5000)})
	for name, c := range map[string]struct {
		data string
		want func(error) bool
	}{
		"text": {"hello", errdefs.IsInvalidArgument},
		"none": {"", errdefs.IsInvalidArgument},
		"xz":   {"\xfd7zXZ\x00rest", errdefs.IsInvalidArgument},
		"cut":  {string(good[:3000]), func(err error) bool { return err != nil }},
		"name": {string(good), func(err error) bool { return err == nil }},
	} {
		s, _ := openStore(t, t.TempDir())
		_, err := s.Import(t.Context(), strings.NewReader(c.data), ImportOptions{})
		if !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			wantEmpty(t, s)
		}
	}
}
