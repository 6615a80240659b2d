package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
	"github.com/berth-engine/berth/test/tarball"
)

func open(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestKeyedLock(t *testing.T) {
	var l KeyedLock
	var wg sync.WaitGroup
	n := 0
	for range 50 {
		wg.Go(func() {
			if err := l.Lock(t.Context(), "a"); err != nil {
				t.Error(err)
				return
			}
			n++
			l.Unlock("a")
		})
	}
	wg.Wait()
	if n != 50 || len(l.held) != 0 {
		t.Errorf("%d, %v", n, l.held)
	}
	if err := l.Lock(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := l.Lock(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	l.Unlock("b")
	l.Unlock("a")
	if len(l.held) != 0 {
		t.Errorf("%v", l.held)
	}
}

// TestUpdateIsOneTransaction: nothing of a failed update stays.
func TestUpdateIsOneTransaction(t *testing.T) {
	db := open(t)
	want := errors.New("no")
	err := db.Update(t.Context(), func(ctx context.Context) error {
		if _, err := db.Leases.Create(ctx, leases.WithID("x")); err != nil {
			t.Error(err)
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Error(err)
	}
	if list, err := db.Leases.List(db.Context(t.Context())); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

// TestUnrecordedSnapshot: of a snapshot that the metadata could not record, nothing
// is there after the next collection.
func TestUnrecordedSnapshot(t *testing.T) {
	db := open(t)
	if err := db.CollectNow(t.Context()); err != nil { // that of Open is over
		t.Fatal(err)
	}
	ctx := leases.WithLease(db.Context(t.Context()), "none")
	directories := func() []string {
		list, err := filepath.Glob(filepath.Join(db.root, "overlay", "snapshots", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for name, do := range map[string]func() error{
		"prepare": func() error { _, err := db.Snapshots.Prepare(ctx, "a", ""); return err },
		"view":    func() error { _, err := db.Snapshots.View(ctx, "a", ""); return err },
	} {
		if err := do(); !errdefs.IsNotFound(err) {
			t.Errorf("%s under a lease that is not there: %v", name, err)
		}
		if len(directories()) == 0 {
			t.Errorf("%s: the snapshotter made nothing: this tests nothing", name)
		}
		if err := db.CollectNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := directories(); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.Context(), Options{Root: filepath.Join(t.TempDir(), "a:b")}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}

// TestApplyStaysInside unpacks layers that try to write elsewhere.
func TestApplyStaysInside(t *testing.T) {
	db := open(t)
	for name, entries := range map[string][]tar.Header{
		"parent":             {{Name: "../../../../canary", Typeflag: tar.TypeReg}},
		"absolute":           {{Name: "/canary", Typeflag: tar.TypeReg}},
		"through symlink":    {{Name: "l", Linkname: "/", Typeflag: tar.TypeSymlink}, {Name: "l/canary", Typeflag: tar.TypeReg}},
		"relative symlink":   {{Name: "l", Linkname: "../../..", Typeflag: tar.TypeSymlink}, {Name: "l/canary", Typeflag: tar.TypeReg}},
		"hard link":          {{Name: "h", Linkname: "../../../../victim", Typeflag: tar.TypeLink}, {Name: "h", Typeflag: tar.TypeReg}},
		"whiteout of parent": {{Name: "../.wh.victim", Typeflag: tar.TypeReg}},
		"whiteout of dots":   {{Name: "d/.wh...", Typeflag: tar.TypeReg}},
		"opaque through":     {{Name: "l", Linkname: "../outside", Typeflag: tar.TypeSymlink}, {Name: "l/.wh..wh..opq", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			upper, victim, outside := filepath.Join(base, "upper"), filepath.Join(base, "victim"), filepath.Join(base, "outside")
			for _, d := range []string{upper, outside} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range []string{victim, filepath.Join(outside, "file")} {
				if err := os.WriteFile(f, []byte("untouched"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var buf bytes.Buffer
			w := tar.NewWriter(&buf)
			for _, h := range entries {
				h.Mode = 0o644
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			_, err := apply(t, db, buf.Bytes(), upper)
			t.Log(err)
			for _, f := range []string{victim, filepath.Join(outside, "file")} {
				if data, err := os.ReadFile(f); err != nil || string(data) != "untouched" {
					t.Errorf("%s: %q %v", f, data, err)
				}
			}
			for _, f := range []string{"/canary", filepath.Join(base, "canary"), filepath.Join(base, "../canary")} {
				if _, err := os.Lstat(f); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s exists: %v", f, err)
				}
			}
		})
	}
}

func apply(t *testing.T, db *DB, layer []byte, upper string) (ocispec.Descriptor, error) {
	t.Helper()
	ctx := db.Context(t.Context())
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer))}
	if err := content.WriteBlob(ctx, db.Content, d.Digest.String(), bytes.NewReader(layer), d); err != nil {
		t.Fatal(err)
	}
	return db.Applier.Apply(ctx, d, []mount.Mount{{Type: "bind", Source: upper}})
}

// TestCompressions: also those with the wrong media type; damage is an error.
func TestCompressions(t *testing.T) {
	db := open(t)
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: 300_000, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	write := func(w io.WriteCloser, data []byte) {
		t.Helper()
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(w, bytes.Repeat([]byte("abc"), 100_000))
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	write(zw, plain.Bytes()[:1000])
	zw.Reset(&zipped) // a second member, as estargz has
	write(zw, plain.Bytes()[1000:])
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, layer := range map[string][]byte{"plain": plain.Bytes(), "gzip": zipped.Bytes(), "zstd": enc.EncodeAll(plain.Bytes(), nil)} {
		got, err := apply(t, db, layer, t.TempDir())
		if err != nil || got.Digest != digest.FromBytes(plain.Bytes()) || got.Size != int64(plain.Len()) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if _, err := apply(t, db, layer[:len(layer)/2], t.TempDir()); err == nil {
			t.Errorf("%s: half of it was taken", name)
		}
	}
	if err := CheckLayerType(ocispec.MediaTypeImageLayer + "+encrypted"); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}

// FuzzDecompress: what strangers send gives data or an error, never a panic, and
// what we packed comes back.
func FuzzDecompress(f *testing.F) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("plain"))
	f.Add(enc.EncodeAll([]byte("hello"), nil))
	f.Add([]byte{0x1f, 0x8b, 0x08, 0, 0, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		r.Close()
		again, err := decompress(bytes.NewReader(enc.EncodeAll(data, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got, err := io.ReadAll(again); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%v", err)
		}
	})
}

// TestHalfIngests: what a kill left of a blob's directory goes when the store is
// opened; a whole one stays, to be continued.
func TestHalfIngests(t *testing.T) {
	root := t.TempDir()
	half, whole := filepath.Join(root, "content", "ingest", "half"), filepath.Join(root, "content", "ingest", "whole")
	for _, dir := range []string{half, whole} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{filepath.Join(half, "startedat"), filepath.Join(whole, "ref")} {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := clearIngests(filepath.Join(root, "content", "ingest")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half: %v", err)
	}
	if _, err := os.Stat(whole); err != nil {
		t.Error(err)
	}
}

// TestBombs: a small blob that becomes a great many bytes or entries is refused
// while it is unpacked.
func TestBombs(t *testing.T) {
	db := open(t)
	if db.Applier.bounds != oci.DefaultBounds {
		t.Fatalf("bounds: %+v", db.Applier.bounds)
	}
	db.Applier.bounds = oci.Bounds{Entries: 100, Ratio: 2_000, Least: 1 << 20}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	layer := func(entries int, size int64) []byte { return tarball.Zeros(t, entries, size) }
	for name, c := range map[string]struct {
		blob []byte
		want string
	}{
		"as many as may be": {layer(100, 1), ""},
		"entries":           {layer(101, 1), "more than 100 entries"},
		"small":             {enc.EncodeAll(layer(1, 1<<19), nil), ""},
		"bytes":             {enc.EncodeAll(layer(1, 32<<20), nil), "that is no archive of files"},
		"without a file":    {enc.EncodeAll(append(layer(1, 1), make([]byte, 32<<20)...), nil), "that is no archive of files"},
		"not compressed":    {layer(1, 32<<20), ""},
	} {
		_, err := apply(t, db, c.blob, t.TempDir())
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errdefs.IsInvalidArgument(err)):
			t.Errorf("%s: want an error with %q, got %v", name, c.want, err)
		}
	}
}
