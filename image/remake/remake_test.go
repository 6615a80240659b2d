package remake

import (
	"archive/tar"
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/test/golden"
)

// words makes text that compresses as text does, the same each time.
func words(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.IntN(1+r.IntN(5000)))
	}
	return b.Bytes()[:n]
}

// sample is a tar with everything that layers have.
func sample(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	long := strings.Repeat("long/", 30) + "name"
	for _, h := range []tar.Header{
		{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "dir/text", Typeflag: tar.TypeReg, Mode: 0o644, Size: 9 << 18, ModTime: time.Unix(1_700_000_000, 5), Format: tar.FormatPAX},
		{Name: "dir/hard", Typeflag: tar.TypeLink, Linkname: "dir/text"},
		{Name: "dir/soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "./empty", Typeflag: tar.TypeReg, Mode: 0o600},
		{Name: ".wh.gone", Typeflag: tar.TypeReg},
		{Name: long, Typeflag: tar.TypeReg, Mode: 0o4755, Size: 1000, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(words(int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out.Write(make([]byte, 4096)) // more padding than is needed, as GNU tar has
	return out.Bytes()
}

type blob struct{ *bytes.Reader }

func (b blob) Size() int64 { return b.Reader.Size() }

// unpacked unpacks a tar as the store does.
func unpacked(t *testing.T, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := archive.Apply(t.Context(), dir, bytes.NewReader(data), archive.WithConvertWhiteout(archive.OverlayConvertWhiteout)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func source(packed, plain []byte, dir string) Source {
	return Source{
		Digest: digest.FromBytes(packed), Blob: blob{bytes.NewReader(packed)}, Dir: dir, Name: "1/fs",
		Unpack: func(io.Reader) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil },
	}
}

func compressors(t *testing.T) map[string]func(io.Writer) io.WriteCloser {
	t.Helper()
	must := func(w io.WriteCloser, err error) io.WriteCloser {
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	return map[string]func(io.Writer) io.WriteCloser{
		"plain": func(w io.Writer) io.WriteCloser { return asIs{w} },
		"go":    func(w io.Writer) io.WriteCloser { return stdgzip.NewWriter(w) },
		"go best, named": func(w io.Writer) io.WriteCloser {
			z, err := stdgzip.NewWriterLevel(w, 9)
			z.Name, z.Comment, z.Extra, z.ModTime = "layer.tar", "c", []byte("extra"), time.Unix(1_600_000_000, 0)
			return must(z, err)
		},
		"go fast":     func(w io.Writer) io.WriteCloser { return must(stdgzip.NewWriterLevel(w, 1)) },
		"klauspost":   func(w io.Writer) io.WriteCloser { return kgzip.NewWriter(w) },
		"klauspost 9": func(w io.Writer) io.WriteCloser { return must(kgzip.NewWriterLevel(w, 9)) },
		"pgzip":       func(w io.Writer) io.WriteCloser { return pgzip.NewWriter(w) },
		"pgzip 1":     func(w io.Writer) io.WriteCloser { return must(pgzip.NewWriterLevel(w, 1)) },
		"zlib":        func(w io.Writer) io.WriteCloser { return must(packed(zlib, 6).packer(w, 1)) },
		"zlib 9":      func(w io.Writer) io.WriteCloser { return must(packed(zlib, 9).packer(w, 1)) },
		"gnu":         func(w io.Writer) io.WriteCloser { return must(packed(gnu, 6).packer(w, 1)) },
		"gnu 1":       func(w io.Writer) io.WriteCloser { return must(packed(gnu, 1).packer(w, 1)) },
		"zstd":        func(w io.Writer) io.WriteCloser { return must(zstd.NewWriter(w)) },
		"zstd fastest": func(w io.Writer) io.WriteCloser {
			return must(zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest)))
		},
	}
}

// packed is what package deflate is compared with programs for.
func packed(kind string, level int) Recipe {
	return Recipe{Kind: kind, Level: level, Head: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}}
}

// TestRemake: what each compressor made comes back, byte for byte, in whatever
// order it is read; and what compressors write is what it was, or records made
// by earlier versions would be worthless (docs/contracts/remake.md).
func TestRemake(t *testing.T) {
	data := sample(t)
	dir := unpacked(t, data)
	var lines []string
	for name, packer := range compressors(t) {
		var packed bytes.Buffer
		w := packer(&packed)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s", name, digest.FromBytes(packed.Bytes())))
		r, err := Make(t.Context(), source(packed.Bytes(), data, dir))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := filepath.Join(t.TempDir(), "record")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.WriteTo(f); err != nil || n != r.Len() || f.Close() != nil {
			t.Fatalf("%d bytes, not %d: %v", n, r.Len(), err)
		}
		again, err := Open(file, func(name string) string {
			if name != "1/fs" {
				t.Errorf("directory %q", name)
			}
			return dir
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range []int64{0, again.Size() / 2, 10} {
			got, err := io.ReadAll(io.NewSectionReader(again, from, again.Size()-from))
			if err != nil || !bytes.Equal(got, packed.Bytes()[from:]) {
				t.Errorf("%s: from %d: %d bytes, %v", name, from, len(got), err)
			}
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	checkGolden(t, lines)
}

// TestNot: what cannot be remade is said so and never makes a record.
func TestNot(t *testing.T) {
	data := sample(t)
	gz := func(data []byte) []byte {
		var b bytes.Buffer
		w := stdgzip.NewWriter(&b)
		_, _ = w.Write(data)
		_ = w.Close()
		return b.Bytes()
	}
	twice := append(gz(data[:5000]), gz(data[5000:])...) // two members, as of estargz
	changed := unpacked(t, data)
	if err := os.WriteFile(filepath.Join(changed, "dir/text"), words(9<<18-1), 0o600); err != nil {
		t.Fatal(err)
	}
	linked := unpacked(t, data)
	if err := os.Rename(filepath.Join(linked, "dir"), filepath.Join(linked, "real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(linked, "dir")); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Source{
		"two members":     source(twice, data, unpacked(t, data)),
		"longer":          source(append(gz(data), 0), data, unpacked(t, data)),
		"other file":      source(gz(data), data, changed),
		"through a link":  source(gz(data), data, linked),
		"no tar":          source(gz([]byte("x")), []byte("x"), t.TempDir()),
		"damaged headers": source(append([]byte{0x1f, 0x8b, 8, 8}, "no end"...), data, unpacked(t, data)),
	} {
		if r, err := Make(t.Context(), s); !errors.Is(err, ErrNot) || r != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChangedFiles: bytes that are not the blob's are an error before the last of
// them is given.
func TestChangedFiles(t *testing.T) {
	data := sample(t)
	dir := unpacked(t, data)
	r, err := Make(t.Context(), source(data, data, dir))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "record")
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "dir/text"))
	if err != nil {
		t.Fatal(err)
	}
	text[100] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "dir/text"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(file, func(string) string { return dir })
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := io.ReadAll(io.NewSectionReader(again, 0, again.Size())); err == nil || int64(len(got)) >= again.Size() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// FuzzHeader: headers of gzip are strangers'.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x1f, 0x8b, 8, 31, 0, 0, 0, 0, 0, 0, 1, 0, 'x', 'n', 0, 'c', 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := headLength(b); n < 0 || n > len(b) || n > 0 && n < 10 {
			t.Errorf("%d of %d", n, len(b))
		}
	})
}

func checkGolden(t *testing.T, lines []string) {
	t.Helper()
	if !golden.Compare(t, "compressors.golden", sorted(lines)) {
		t.Error("a compressor writes something else than it did, so that layers cannot be remade any more; see docs/contracts/remake.md")
	}
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
