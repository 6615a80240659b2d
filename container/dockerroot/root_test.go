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
		if _, err := Open(dir); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir := made(t, nil)
	db, err := bolt.Open(filepath.Join(dir, "volumes", "metadata.db"), 0o600, nil) // as a Docker that runs
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if v, err := r.Volumes(); err != nil || len(v) != 1 || v[0].Labels["a"] != "b" || !strings.HasSuffix(v[0].Data, "/v1/_data") {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := r.Images(); !errdefs.IsNotImplemented(err) {
		t.Error(err)
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
		"containers/" + id + "/config.v2.json":                 `{"ID":"x","Name":"/one","Image":"sha256:0","Config":{"Hostname":"aaaaaaaaaaaa"},"MountPoints":{"/d":{"Type":"volume","Name":"v","RW":false}}}`,
		"containers/" + id + "/hostconfig.json":                `{"Memory":5}`,
		"containers/" + other + "/config.v2.json":              `{"Name":"/two"}`,
		"containers/" + other + "/hostconfig.json":             `{}`,
		"image/overlay2/layerdb/mounts/" + other + "/mount-id": "../../../etc",
		"containers/nonsense/config.v2.json":                   `{`,
	})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, failed, err := r.Containers()
	if err != nil || len(list) != 1 || len(failed) != 1 || !errdefs.IsInvalidArgument(failed[other[:12]]) {
		t.Fatalf("%+v %v %v", list, failed, err)
	}
	if c := list[0]; c.Name != "one" || c.Config.Hostname != "" || c.HostConfig.Memory != 5 || c.HostConfig.Binds[0] != "v:/d:ro" || c.Upper != "" {
		t.Errorf("%+v", c)
	}
}
