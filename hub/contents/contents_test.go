package contents

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/oci"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/manifest/manifestlist"
	"github.com/distribution/distribution/v3/manifest/ocischema"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is a registry's storage in memory.
func store(t *testing.T) distribution.Namespace {
	t.Helper()
	ns, err := storage.NewRegistry(t.Context(), inmemory.New(), storage.EnableDelete)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func reader(t *testing.T, ns distribution.Namespace, l Limits) *Reader {
	t.Helper()
	r, err := New(ns, t.TempDir(), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func repository(t *testing.T, ns distribution.Namespace, repo string) distribution.Repository {
	t.Helper()
	named, err := reference.WithName(repo)
	if err != nil {
		t.Fatal(err)
	}
	repository, err := ns.Repository(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func push(t *testing.T, ns distribution.Namespace, repo string, i oci.Image) digest.Digest {
	t.Helper()
	r := repository(t, ns, repo)
	for _, b := range i.Blobs {
		if _, err := r.Blobs(t.Context()).Put(t.Context(), b.Descriptor.MediaType, b.Data); err != nil {
			t.Fatal(err)
		}
	}
	service, err := r.Manifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range i.Manifests {
		parsed, _, err := distribution.UnmarshalManifest(m.Descriptor.MediaType, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := service.Put(t.Context(), parsed); err != nil {
			t.Fatal(err)
		}
	}
	return i.Root().Descriptor.Digest
}

var _ = []any{manifestlist.ManifestList{}, ocischema.Manifest{}} // their packages register the media types

func file(name, data string) oci.Entry {
	return oci.Entry{Header: tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(data)}
}

func of(typeflag byte, name, link string) oci.Entry {
	return oci.Entry{Header: tar.Header{Name: name, Mode: 0o755, Typeflag: typeflag, Linkname: link}}
}

func image(t *testing.T, arch string, layers ...[]oci.Entry) oci.Image {
	t.Helper()
	var packed []oci.Layer
	for i, entries := range layers {
		l, err := oci.NewLayer(entries, []oci.Compression{oci.Gzip, oci.Zstd, oci.None}[i%3])
		if err != nil {
			t.Fatal(err)
		}
		packed = append(packed, l)
	}
	i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: arch}, ocispec.ImageConfig{Cmd: []string{"/x"}}, "RUN /bin/sh -c x # buildkit", packed...)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func paths(h *Holding) (list []string) {
	for _, f := range h.Files {
		list = append(list, f.Path)
	}
	return list
}

func holding(t *testing.T, r *Reader, repo string, d digest.Digest) *Holding {
	t.Helper()
	i, err := r.Image(t.Context(), repo, d)
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.Holding(t.Context(), repo, i)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVariants(t *testing.T) {
	ns := store(t)
	index, err := oci.NewIndex(image(t, "amd64", []oci.Entry{file("a", "1")}), image(t, "arm64", []oci.Entry{file("a", "2")}, []oci.Entry{file("b", "2")}))
	if err != nil {
		t.Fatal(err)
	}
	r := reader(t, ns, Limits{})
	d := push(t, ns, "a/b", index)
	variants, err := r.Variants(t.Context(), "a/b", d)
	if err != nil {
		t.Fatal(err)
	}
	if len(variants) != 2 || variants[0].Platform.Architecture != "amd64" || variants[1].Platform.Architecture != "arm64" {
		t.Fatalf("got %+v", variants)
	}
	if variants[0].Layers != 1 || variants[1].Layers != 2 || variants[0].Size == 0 {
		t.Errorf("got %+v", variants)
	}
	if _, err := r.Image(t.Context(), "a/b", d); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an index taken for an image: %v", err)
	}
	i, err := r.Image(t.Context(), "a/b", variants[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if len(i.Steps) != 2 || i.Steps[0].Instruction != "RUN" || i.Steps[0].Arguments != "x" || i.Steps[0].Layer.Digest != i.Layers[0].Digest {
		t.Errorf("steps %+v", i.Steps)
	}
	if i.Config.Cmd[0] != "/x" {
		t.Errorf("config %+v", i.Config)
	}
	if v, err := r.Variants(t.Context(), "a/b", i.Digest); err != nil || len(v) != 1 || v[0].Platform.Architecture != "arm64" {
		t.Errorf("of one manifest: %+v, %v", v, err)
	}
	if _, err := r.Variants(t.Context(), "a/c", d); !errdefs.IsNotFound(err) {
		t.Errorf("another repository's index: %v", err)
	}
}

func TestLayersAreJoined(t *testing.T) {
	ns := store(t)
	d := push(t, ns, "x", image(t, "amd64",
		[]oci.Entry{file("etc/a", "old"), file("etc/gone", "1"), of(tar.TypeDir, "dir", ""), file("dir/1", "1"), file("dir/2", "2"), file("was/dir/f", ""), of(tar.TypeSymlink, "link", "etc/a")},
		[]oci.Entry{
			file("etc/.wh.gone", ""), file("dir/3", "3"), file("dir/.wh..wh..opq", ""), file("etc/a", "newer"),
			file("was/dir", "now a file"), of(tar.TypeLink, "hard", "etc/a"), of(tar.TypeLink, "nothing", "etc/gone"), file("../../up", "x"),
		},
	))
	h := holding(t, reader(t, ns, Limits{}), "x", d)
	want := []string{"dir", "dir/3", "etc/a", "hard", "link", "up", "was/dir"}
	if got := paths(h); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, f := range h.Files {
		if f.Path == "hard" && f.Size != 5 {
			t.Errorf("a hard link has its file's content: %+v", f)
		}
	}
}

func TestPackagesAndComparison(t *testing.T) {
	ns := store(t)
	const dpkg1 = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nDescription: x\n more: text\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: old\nStatus: install ok installed\nVersion: 3\n"
	const dpkg2 = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-10\n\nPackage: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\n"
	base := []oci.Entry{file("var/lib/dpkg/status", dpkg1), file("same", "1"), file("less", "long")}
	before := push(t, ns, "x", image(t, "amd64", base))
	exec := file("same", "1")
	exec.Header.Mode = 0o755
	after := push(t, ns, "x", image(t, "amd64", base, []oci.Entry{
		file("var/lib/dpkg/status", dpkg2), exec, file(".wh.less", ""), file("more", "new"),
		file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\n\nP:busybox\nV:1.37\n\n"),
		file("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n"), file("var/lib/dpkg/status.d/base.md5sums", "Package: no\n"),
	}))
	r := reader(t, ns, Limits{})
	a, b := holding(t, r, "x", before), holding(t, r, "x", after)
	if want := []Package{{"libc6", "2.36-9", "amd64", "dpkg"}, {"old", "3", "", "dpkg"}}; !reflect.DeepEqual(a.Packages, want) {
		t.Errorf("packages %+v", a.Packages)
	}
	from, err := r.Image(t.Context(), "x", before)
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.Image(t.Context(), "x", after)
	if err != nil {
		t.Fatal(err)
	}
	d := Compare(from, to, a, b)
	wantPackages := []PackageChange{
		{"base-files", "dpkg", "", "12"},
		{"busybox", "apk", "", "1.37"},
		{"libc6", "dpkg", "2.36-9", "2.36-10"},
		{"musl", "apk", "", "1.2.5-r0"},
		{"old", "dpkg", "3", ""},
		{"zlib1g", "dpkg", "", "1:1.2"},
	}
	if !reflect.DeepEqual(d.Packages, wantPackages) {
		t.Errorf("packages %+v", d.Packages)
	}
	changes := map[string]FileChange{}
	for _, f := range d.Files {
		changes[f.Path] = f
	}
	for path, want := range map[string]FileChange{
		"less": {"less", Removed, "file", -4}, "more": {"more", Added, "file", 3}, "same": {"same", Changed, "mode 0644 → 0755", 0},
	} {
		if changes[path] != want {
			t.Errorf("%s: %+v", path, changes[path])
		}
	}
	if len(d.Layers) != 2 || d.Layers[0].Change != Kept || d.Layers[1].Change != Added || len(d.Config) != 0 {
		t.Errorf("layers %+v, config %+v", d.Layers, d.Config)
	}
	if same := Compare(from, from, a, a); len(same.Files)+len(same.Packages)+len(same.Config) != 0 {
		t.Errorf("an image differs from itself: %+v", same)
	}
}

func TestConfigComparison(t *testing.T) {
	got := CompareConfig(
		ocispec.ImageConfig{Env: []string{"A=1", "B=2"}, Cmd: []string{"a b"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}},
		ocispec.ImageConfig{Env: []string{"A=1", "B=3"}, Cmd: []string{"a", "<b>"}, Labels: map[string]string{"l": "v"}})
	want := []ConfigChange{{"Command", `["a b"]`, `["a","<b>"]`}, {"Ports", "80/tcp", ""}, {"ENV B", "2", "3"}, {"LABEL l", "", "v"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestCacheKnowsNoRepositories: what one repository made known, another that
// does not link it must not tell (CVE-2024-39897), nor one that deleted it.
func TestCacheKnowsNoRepositories(t *testing.T) {
	ns := store(t)
	r := reader(t, ns, Limits{})
	secret := push(t, ns, "private", image(t, "amd64", []oci.Entry{file("secret", "1")}))
	i, err := r.Image(t.Context(), "private", secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Holding(t.Context(), "private", i); err != nil {
		t.Fatal(err)
	}
	push(t, ns, "public", image(t, "amd64", []oci.Entry{file("f", "2")}))
	if h, err := r.Holding(t.Context(), "public", i); !errdefs.IsNotFound(err) {
		t.Errorf("another repository's layer: %+v, %v", h, err)
	}
	if err := repository(t, ns, "private").Blobs(t.Context()).Delete(t.Context(), i.Layers[0].Digest); err != nil {
		t.Fatal(err)
	}
	if h, err := r.Holding(t.Context(), "private", i); !errdefs.IsNotFound(err) {
		t.Errorf("a deleted layer: %+v, %v", h, err)
	}
}

func TestCacheIsUsedMendedAndTrimmed(t *testing.T) {
	ns := store(t)
	r := reader(t, ns, Limits{})
	d := push(t, ns, "x", image(t, "amd64", []oci.Entry{file("a", "1")}))
	holding(t, r, "x", d)
	i, err := r.Image(t.Context(), "x", d)
	if err != nil {
		t.Fatal(err)
	}
	cached := r.path(i.Layers[0].Digest)
	if err := r.save(i.Layers[0].Digest, &listing{Files: []File{{Path: "from-the-cache", Type: tar.TypeReg}}}); err != nil {
		t.Fatal(err)
	}
	if got := paths(holding(t, r, "x", d)); !slices.Equal(got, []string{"from-the-cache"}) {
		t.Errorf("the cache was not asked: %q", got)
	}
	if err := os.WriteFile(cached, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := paths(holding(t, r, "x", d)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after damage: %q", got)
	}
	r.limits.Cache = 1
	if err := r.trim(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cached); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing was forgotten: %v", err)
	}
}

// TestBounds: bombs end with an error that says so.
func TestBounds(t *testing.T) {
	zeros := func(n int) []oci.Entry { return []oci.Entry{file("zeros", strings.Repeat("\x00", n))} }
	deep := strings.Repeat("d/", 2000)
	for name, test := range map[string]struct {
		entries []oci.Entry
		limits  Limits
	}{
		"bytes":   {zeros(1 << 20), Limits{Bytes: 1 << 19}},
		"ratio":   {zeros(ratioFrom + 1<<20), Limits{}},
		"entries": {[]oci.Entry{file("a", ""), file("b", ""), file("c", "")}, Limits{Entries: 2}},
		"names":   {[]oci.Entry{file(strings.Repeat("n", 90), "")}, Limits{Names: 50}},
		"depth":   {[]oci.Entry{file(deep+"f", "")}, Limits{Entries: 100}},
	} {
		ns := store(t)
		r := reader(t, ns, test.limits)
		d := push(t, ns, "x", image(t, "amd64", test.entries))
		i, err := r.Image(t.Context(), "x", d)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := r.Holding(t.Context(), "x", i); !errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
}

func TestNoArchive(t *testing.T) {
	ns := store(t)
	r := reader(t, ns, Limits{})
	i := image(t, "amd64", []oci.Entry{file("a", "1")})
	garbage := oci.NewBlob(ocispec.MediaTypeImageLayerGzip, bytes.Repeat([]byte("garbage "), 200))
	packed, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "x", oci.Layer{Blob: garbage, DiffID: garbage.Descriptor.Digest})
	if err != nil {
		t.Fatal(err)
	}
	push(t, ns, "x", i)
	parsed, err := r.Image(t.Context(), "x", push(t, ns, "x", packed))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Holding(t.Context(), "x", parsed); !errdefs.IsInvalidArgument(err) {
		t.Errorf("garbage: %v", err)
	}
}

// TestReadingOutlivesTheRequest: a request that gives up leaves the reading
// going on, and the next finds its result.
func TestReadingOutlivesTheRequest(t *testing.T) {
	ns := store(t)
	r := reader(t, ns, Limits{})
	i, err := r.Image(t.Context(), "x", push(t, ns, "x", image(t, "amd64", []oci.Entry{file("a", "1")})))
	if err != nil {
		t.Fatal(err)
	}
	for range concurrent { // all hands are busy
		r.busy <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := r.Holding(ctx, "x", i); !errors.Is(err, ErrReading) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for range concurrent {
		<-r.busy
	}
	if h, err := r.Holding(t.Context(), "x", i); err != nil || len(h.Files) != 1 {
		t.Errorf("got %v, %v", h, err)
	}
	for range joined { // as many visitors as are served at a time
		r.join <- struct{}{}
	}
	if _, err := r.Holding(ctx, "x", i); !errors.Is(err, ErrReading) {
		t.Errorf("one more: %v", err)
	}
}

func TestInstructions(t *testing.T) {
	for in, want := range map[string][2]string{
		`/bin/sh -c #(nop)  CMD ["bash"]`:                          {"CMD", `["bash"]`},
		`/bin/sh -c #(nop) ADD file:1a2b in / `:                    {"ADD", "file:1a2b in /"},
		`/bin/sh -c apt-get update`:                                {"RUN", "apt-get update"},
		`RUN /bin/sh -c apt-get update # buildkit`:                 {"RUN", "apt-get update"},
		`RUN |2 A=1 B=2 /bin/sh -c make # buildkit`:                {"RUN", "make"},
		`|1 A=1 /bin/sh -c make`:                                   {"RUN", "make"},
		`COPY --link a b # buildkit`:                               {"COPY", "--link a b"},
		`# debian.sh --arch 'amd64' out/ 'bookworm' '@1700000000'`: {"", `# debian.sh --arch 'amd64' out/ 'bookworm' '@1700000000'`},
		``:                                 {"", ""},
		`EXPOSE map[80/tcp:{} 443/tcp:{}]`: {"EXPOSE", "80/tcp 443/tcp"},
		`WORKDIR /x`:                       {"WORKDIR", "/x"},
		"RUN /bin/sh -c set -e; \t\tx <script>alert(1)</script>": {"RUN", "set -e; \t\tx <script>alert(1)</script>"},
		`ENTRYPOINT ["/docker-entrypoint.sh"]`:                   {"ENTRYPOINT", `["/docker-entrypoint.sh"]`},
	} {
		if a, b := instruction(in); a != want[0] || b != want[1] {
			t.Errorf("%q: got %q %q", in, a, b)
		}
	}
}

// FuzzList: whatever a layer is, reading it ends within its limits.
func FuzzList(f *testing.F) {
	for _, c := range []oci.Compression{oci.Gzip, oci.Zstd, oci.None} {
		l, err := oci.NewLayer([]oci.Entry{file("var/lib/dpkg/status", "Package: a\nStatus: x ok installed\n"), file("a/.wh.b", ""), of(tar.TypeLink, "c", "d")}, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(l.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Bytes: 1 << 20, Entries: 1000}.withDefaults()
		l, err := limits.list(t.Context(), bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if len(l.Files) > limits.Entries || l.Size > limits.Bytes {
			t.Errorf("beyond the limits: %d files, %d bytes", len(l.Files), l.Size)
		}
		root := &node{}
		root.join(l, limits.Entries)
		root.walk(func(f File) {
			if f.Path == "" || strings.HasPrefix(f.Path, "/") || strings.HasPrefix(f.Path, "../") {
				t.Errorf("path %q", f.Path)
			}
		})
	})
}
