package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// TestMigrateContainerd: what Docker keeps in containerd's image store goes on
// here. Debian's Docker is too old to have one: the store is made by containerd's
// own packages as Docker 29 makes it.
func TestMigrateContainerd(t *testing.T) {
	for _, snapshotter := range []string{"overlayfs", "native"} {
		t.Run(snapshotter, func(t *testing.T) { migrateContainerd(t, snapshotter) })
	}
}

func migrateContainerd(t *testing.T, snapshotter string) {
	_, data := rootOnTmpfs(t)
	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved.tar")
	must(t, d, "docker", "pull", "-q", "busybox")
	must(t, d, "docker", "tag", "busybox", "other/name:v2")
	must(t, d, "docker", "save", "-o", saved, "busybox", "other/name:v2")
	id := strings.TrimSpace(must(t, d, "docker", "inspect", "-f", "{{.Id}}", "busybox"))
	must(t, d, "docker", "rmi", "busybox", "other/name:v2")

	store := openContainerd(t, filepath.Join(data, "containerd", "daemon"), snapshotter)
	store.load(t, saved)
	store.container(t, strings.Repeat("a", 64), func(root string) error {
		if err := os.WriteFile(filepath.Join(root, "added"), []byte("new\n"), 0o644); err != nil {
			return err
		}
		return os.Remove(filepath.Join(root, "bin", "ls"))
	})
	dockerRoot(t, data, map[string]any{
		"ID": strings.Repeat("a", 64), "Name": "/c1", "Image": id, "Driver": snapshotter,
		"Config": map[string]any{"Image": "busybox", "Cmd": []string{"cat", "/added"}, "Env": []string{"A=b"}},
	})
	// A containerd that runs is told from one that does not.
	if out, err := client(t, d, "berth", "migrate", "--from-docker", data); err == nil || !strings.Contains(out, "containerd is running") {
		t.Errorf("%v %s", err, out)
	}
	store.close(t)
	if out, err := client(t, d, "berth", "migrate", "--from-docker", data, "--containerd", data); err == nil || !strings.Contains(out, "is not the root of a containerd") {
		t.Errorf("%v %s", err, out)
	}
	out := must(t, d, "berth", "migrate", "--from-docker", data)
	for _, want := range []string{"image busybox:latest", "container c1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, tc := range [][]string{
		{id, "docker", "inspect", "-f", "{{.Id}}", "busybox"},
		{id, "docker", "inspect", "-f", "{{.Id}}", "other/name:v2"},
		{"[A=b", "docker", "inspect", "-f", "{{.Config.Env}}", "c1"},
		{"A /added", "docker", "diff", "c1"},
		{"D /bin/ls", "docker", "diff", "c1"},
		{"new", "docker", "start", "-a", "c1"},
	} {
		if out := must(t, d, tc[1:]...); !strings.Contains(out, tc[0]) {
			t.Errorf("%q: %s, want %q", tc[1:], out, tc[0])
		}
	}
	must(t, d, "docker", "rm", "c1")
}

// containerd is its image store, as the engine that Docker runs has it.
type containerd struct {
	ctx         context.Context //nolint:containedctx // the test's
	bolt        *bolt.DB
	db          *metadata.DB
	plain       snapshots.Snapshotter
	snapshotter string
	chain       digest.Digest
}

func openContainerd(t *testing.T, root, name string) *containerd {
	t.Helper()
	in := func(elem ...string) string {
		p := filepath.Join(append([]string{root}, elem...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o711); err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := &containerd{ctx: namespaces.WithNamespace(t.Context(), "moby"), snapshotter: name}
	blobs, err := local.NewStore(in("io.containerd.content.v1.content"))
	if err != nil {
		t.Fatal(err)
	}
	if name == "native" {
		c.plain, err = native.NewSnapshotter(in("io.containerd.snapshotter.v1.native"))
	} else {
		c.plain, err = overlay.NewSnapshotter(in("io.containerd.snapshotter.v1.overlayfs"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if c.bolt, err = bolt.Open(in("io.containerd.metadata.v1.bolt", "meta.db"), 0o644, nil); err != nil {
		t.Fatal(err)
	}
	c.db = metadata.NewDB(c.bolt, blobs, map[string]snapshots.Snapshotter{name: c.plain})
	if err := c.db.Init(c.ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *containerd) close(t *testing.T) {
	t.Helper()
	if err := c.plain.Close(); err != nil {
		t.Error(err)
	}
	if err := c.bolt.Close(); err != nil {
		t.Error(err)
	}
}

// load takes the images of a saved stream and unpacks the last of them.
func (c *containerd) load(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blobs := c.db.ContentStore()
	index, err := archive.ImportIndex(c.ctx, blobs, f)
	if err != nil {
		t.Fatal(err)
	}
	list, err := images.Children(c.ctx, blobs, index)
	if err != nil {
		t.Fatal(err)
	}
	for _, desc := range list {
		name := desc.Annotations[images.AnnotationImageName]
		desc.Annotations = nil
		if _, err := metadata.NewImageStore(c.db).Create(c.ctx, images.Image{Name: name, Target: desc}); err != nil {
			t.Fatal(err)
		}
		c.unpack(t, desc)
	}
}

func (c *containerd) unpack(t *testing.T, target ocispec.Descriptor) {
	t.Helper()
	blobs := c.db.ContentStore()
	manifest, err := images.Manifest(c.ctx, blobs, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := content.ReadBlob(c.ctx, blobs, manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	var layers []rootfs.Layer
	for i, l := range manifest.Layers {
		layers = append(layers, rootfs.Layer{Blob: l, Diff: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: config.RootFS.DiffIDs[i]}})
	}
	if _, err := rootfs.ApplyLayers(c.ctx, layers, c.db.Snapshotter(c.snapshotter), apply.NewFileSystemApplier(blobs)); err != nil {
		t.Fatal(err)
	}
	c.chain = identity.ChainID(config.RootFS.DiffIDs)
}

// container makes the snapshots of a container, and writes in the upper one.
func (c *containerd) container(t *testing.T, id string, write func(root string) error) {
	t.Helper()
	sn := c.db.Snapshotter(c.snapshotter)
	_, err := sn.Prepare(c.ctx, id+"-init-key", c.chain.String())
	if err == nil {
		err = sn.Commit(c.ctx, id+"-init", id+"-init-key")
	}
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := sn.Prepare(c.ctx, id, id+"-init")
	if err != nil {
		t.Fatal(err)
	}
	if err := mount.WithTempMount(c.ctx, mounts, write); err != nil {
		t.Fatal(err)
	}
}

// dockerRoot writes what else is in the data-root of an engine: no volumes and a
// container.
func dockerRoot(t *testing.T, dir string, container map[string]any) {
	t.Helper()
	state, err := json.Marshal(container)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := container["ID"].(string)
	for path, text := range map[string]string{
		filepath.Join("containers", id, "config.v2.json"):  string(state),
		filepath.Join("containers", id, "hostconfig.json"): `{"NetworkMode":"none"}`,
		filepath.Join("volumes", "backingFsBlockDev"):      "",
	} {
		p := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o710); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(filepath.Join(dir, "volumes", "metadata.db"), 0o600, nil)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
