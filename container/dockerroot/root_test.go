package dockerroot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// made is a data-root with files, whose database of volumes has two entries.
func made(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "volumes", "v1", "_data"), 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "volumes", "metadata.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("volumes"))
		if err == nil {
			err = b.Put([]byte("v1"), []byte(`{"Name":"v1","Driver":"local","Labels":{"a":"b"},"Options":null}`))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpen(t *testing.T) {
	for _, dir := range []string{"relative", t.TempDir(), "/nonexistent"} {
		if _, err := Open(dir, ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir := made(t, nil)
	db, err := bolt.Open(filepath.Join(dir, "volumes", "metadata.db"), 0o600, nil) // as a Docker that runs
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, ""); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if v, err := r.Volumes(); err != nil || len(v) != 1 || v[0].Labels["a"] != "b" || !strings.HasSuffix(v[0].Data, "/v1/_data") {
		t.Errorf("%+v %v", v, err)
	}
	if i, failed, err := r.Images(t.Context()); len(i)+len(failed) > 0 || err != nil {
		t.Error(i, failed, err)
	}
	if c, failed, err := r.Containers(); len(c)+len(failed) > 0 || err != nil {
		t.Error(c, failed, err)
	}
}

// Names in files do not lead out of the data-root, and one bad container does
// not hide the others.
func TestNamesStayInside(t *testing.T) {
	id, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	dir := made(t, map[string]string{
		"containers/" + id + "/config.v2.json":                 `{"ID":"x","Name":"/one","Driver":"overlay2","Image":"sha256:0","Config":{"Hostname":"aaaaaaaaaaaa"},"MountPoints":{"/d":{"Type":"volume","Name":"v","RW":false}}}`,
		"containers/" + id + "/hostconfig.json":                `{"Memory":5}`,
		"containers/" + other + "/config.v2.json":              `{"Name":"/two","Driver":"overlay2"}`,
		"containers/" + other + "/hostconfig.json":             `{}`,
		"image/overlay2/layerdb/mounts/" + other + "/mount-id": "../../../etc",
		"containers/nonsense/config.v2.json":                   `{`,
	})
	r, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, failed, err := r.Containers()
	if err != nil || len(list) != 1 || len(failed) != 1 || !errdefs.IsInvalidArgument(failed[other[:12]]) {
		t.Fatalf("%+v %v %v", list, failed, err)
	}
	if c := list[0]; c.Name != "one" || c.Config.Hostname != "" || c.HostConfig.Memory != 5 || c.HostConfig.Binds[0] != "v:/d:ro" || c.Written.Dir != "" {
		t.Errorf("%+v", c)
	}
}

// What cannot be read is named, and does not hide the rest.
func TestUnreadable(t *testing.T) {
	id := func(s string) string { return strings.Repeat(s, 64) }
	config := "image/vfs/imagedb/content/sha256/"
	dir := made(t, map[string]string{
		"image/vfs/repositories.json":                       `{"Repositories":{"good":{"good:1":"sha256:` + id("1") + `","good@sha256:` + id("1") + `":"sha256:` + id("1") + `"},"bad":{"bad:1":"sha256:` + id("2") + `"}}}`,
		config + id("1"):                                    `{"rootfs":{"diff_ids":["sha256:` + id("3") + `"]}}`,
		config + id("2"):                                    `{"rootfs":{"diff_ids":["sha256:` + id("4") + `"]}}`,
		config + id("5"):                                    `{`,
		"image/btrfs/repositories.json":                     `{}`,
		"image/vfs/layerdb/sha256/" + id("3") + "/cache-id": "there",
		"image/vfs/layerdb/sha256/" + id("4") + "/cache-id": "gone",
		"vfs/dir/there/f":                                   "",
		"containers/" + id("a") + "/config.v2.json":         `{"Name":"/old","Driver":"devicemapper","Config":{}}`,
		"containers/" + id("a") + "/hostconfig.json":        `{}`,
	})
	r, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, failed, err := r.Images(t.Context())
	if err != nil || len(list) != 1 || len(failed) != 3 || failed["bad:1"] == nil || failed["sha256:"+id("5")] == nil ||
		!errdefs.IsNotImplemented(failed["of the storage driver btrfs"]) {
		t.Fatalf("%+v %v %v", list, failed, err)
	}
	if i := list[0]; len(i.Names) != 1 || i.Names[0] != "good:1" || !i.Layers[0].Whole || !strings.HasSuffix(i.Layers[0].Dir, "/vfs/dir/there") {
		t.Errorf("%+v", i)
	}
	if c, failed, err := r.Containers(); len(c) > 0 || len(failed) != 1 || err != nil || !strings.Contains(failed[id("a")[:12]].Error(), "devicemapper") {
		t.Error(c, failed, err)
	}
	if _, err := Open("/var/lib/docker/100000.100000", ""); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}
